-- How many large objects are there, how long are they, and what is in them? The hash is a sum, so it does not depend on the order.
-- A dump fills holes with zeros: pages of zeros, and zeros at a page's end, do not count.
with pages as (
    select loid, pageno, rtrim(data, '\x00'::bytea) as data, pageno::int8 * 2048 + length(data) as reaches from pg_largeobject
)
select
    (select count(*) from pg_largeobject_metadata) as objects,
    (select coalesce(sum(length), 0) from (select max(reaches) as length from pages group by loid) each)::int8 as bytes,
    coalesce(
        sum(hashtextextended(loid::text || ':' || pageno::text || ':' || encode(data, 'hex'), 0)) filter (where length(data) > 0), 0
    )::text as hash
from pages

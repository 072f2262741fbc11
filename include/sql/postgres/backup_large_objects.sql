-- How many large objects are there, and what is in them? The hash is a sum, so it does not depend on the order.
select
    (select count(*) from pg_largeobject_metadata) as objects,
    count(*) as pages,
    coalesce(sum(hashtextextended(loid::text || ':' || pageno::text || ':' || encode(data, 'hex'), 0)), 0)::text as hash
from pg_largeobject

set role zoo_owner;
set search_path = pg_catalog;

-- Enums: a value added in the middle, one renamed, labels of every kind, and none at all.
create type zoo.mood as enum ('sad', 'okay', 'happy');
alter type zoo.mood add value 'fine' before 'happy';
alter type zoo.mood add value 'worst' before 'sad';
alter type zoo.mood rename value 'okay' to 'ok';
create type zoo."Odd Enum" as enum (
    'it''s', 'a "b"', 'back\slash', E'new\nline', 'é😀', '', ' ', '%s', 'NULL', 'true', '{a,b}',
    'exactly_sixty_three_bytes_long_label_xxxxxxxxxxxxxxxxxxxxxxxxxx'
);
create type zoo.no_labels as enum ();
comment on type zoo.mood is 'order matters, and not the alphabet''s';

-- Composite types: nested, with arrays, with none.
create type zoo.pair as (a integer, b text);
create type zoo.nested as (head zoo.pair, tail zoo.pair[], mood zoo.mood, "Odd ""attribute"" %s" numeric(5, 2));
create type zoo.nothing as ();
create type zoo.altered as (gone integer, kept text collate "C");
alter type zoo.altered drop attribute gone, add attribute added zoo.mood;
comment on column zoo.pair.a is 'an attribute has a comment too';

-- Domains: over a base type, a domain, an array, a composite, a range; checks that are named, many, and not valid.
create domain zoo.positive as integer constraint "is > 0" check (value > 0) constraint small check (value < 1000000);
create domain zoo.even as zoo.positive check (value % 2 = 0);
create domain zoo.code as varchar(8) collate "C" default 'none' not null check (value in ('none', 'a', 'b', 'it''s'));
create domain zoo.triple as integer[] check (array_length(value, 1) = 3);
create domain zoo.good_pair as zoo.pair check (value is null or (value).a is not null);
create domain zoo.short_range as int4range check (upper(value) - lower(value) <= 10);
create domain zoo.late as text;
alter domain zoo.late add constraint later check (value <> 'bad') not valid;
comment on domain zoo.positive is 'greater than zero';
comment on constraint "is > 0" on domain zoo.positive is 'a constraint of a domain';

-- Ranges: with a difference, over text in a collation, over a composite, with a name for the multirange.
create function zoo.time_difference(x time, y time) returns float8
    language sql immutable strict return extract(epoch from (x - y))::float8;
create type zoo.time_range as range (subtype = time, subtype_diff = zoo.time_difference);
create type zoo.word_range as range (subtype = text, collation = "C", multirange_type_name = zoo."Words");
create type zoo.pair_range as range (subtype = zoo.pair);
create type zoo.float_range as range (subtype = float8, subtype_diff = float8mi);

-- A PostgreSQL that was built without ICU has the same names, over libc.
do $$
begin
    create collation zoo.german (provider = icu, locale = 'de-DE');
    create collation zoo.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create collation zoo.numeric_order (provider = icu, locale = 'und-u-kn', rules = '& a < g');
exception when feature_not_supported then
    create collation zoo.german (provider = libc, locale = 'C.utf8');
    create collation zoo.nocase (provider = libc, lc_collate = 'POSIX', lc_ctype = 'C.utf8');
    create collation zoo.numeric_order (provider = libc, locale = 'POSIX');
end
$$;
create collation zoo.bytewise (provider = libc, locale = 'C');
create collation zoo.builtin (provider = builtin, locale = 'C.UTF-8');
create collation zoo."Copied" from "C";
comment on collation zoo.nocase is 'with ICU, A equals a';

create conversion zoo.latin for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
comment on conversion zoo.latin is 'a conversion';

create text search dictionary zoo.stem (template = snowball, language = english, stopwords = english);
create text search dictionary zoo."Simple %s" (template = simple, accept = false);
create text search configuration zoo.search (copy = simple);
alter text search configuration zoo.search alter mapping for asciiword, word with zoo_ext.unaccent, zoo."Simple %s", zoo.stem;
alter text search configuration zoo.search drop mapping for url, email;
comment on text search configuration zoo.search is 'a configuration';
comment on text search dictionary zoo.stem is 'a dictionary';

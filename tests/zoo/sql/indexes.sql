set role zoo_owner;
set search_path = pg_catalog;

create table zoo.indexed (
    id integer primary key, a text, b integer, c timestamptz, tags text[], body jsonb, words tsvector, spot point, during int4range, h zoo_ext.hstore, path zoo_ext.ltree, ints integer[]
);
insert into zoo.indexed
    select g, 'word ' || g % 17, g % 10, timestamptz '2024-01-01 00:00+00' + g * interval '1 hour', array['t' || g % 5, null], jsonb_build_object('k', g % 7),
        to_tsvector('simple', 'w' || g), point(g, -g), int4range(g, g + 5), zoo_ext.hstore('k', g::text), ('a.b' || g)::zoo_ext.ltree, array[g, g + 1]
    from generate_series(1, 500) g;
create index by_expression on zoo.indexed (lower(a), (b + 1), zoo.twice(b)) with (fillfactor = 80, deduplicate_items = off);
create index by_part on zoo.indexed (a varchar_pattern_ops, b desc nulls last) where b > 3 and a <> 'it''s %';
create unique index covering on zoo.indexed (id desc nulls first) include (a, b);
create unique index not_distinct on zoo.indexed (nullif(id, 0)) nulls not distinct;
create index by_collation on zoo.indexed (a collate zoo.german, a collate "C" text_pattern_ops);
create index by_tags on zoo.indexed using gin (tags) with (fastupdate = off);
create index by_body on zoo.indexed using gin (body jsonb_path_ops, b zoo_ext.int4_ops);
create index by_words on zoo.indexed using gist (words tsvector_ops (siglen = 100));
create index by_spot on zoo.indexed using spgist (spot kd_point_ops);
create index by_nearness on zoo.indexed using gist (spot) include (id);
create index by_trigram on zoo.indexed using gin (a zoo_ext.gin_trgm_ops);
create index by_trigram_gist on zoo.indexed using gist (a zoo_ext.gist_trgm_ops (siglen = 32));
create index by_store on zoo.indexed using gin (h);
create index by_path on zoo.indexed using gist (path zoo_ext.gist_ltree_ops (siglen = 20));
create index by_ints on zoo.indexed using gin (ints zoo_ext.gin__int_ops);
create index by_block on zoo.indexed using brin (c timestamptz_minmax_multi_ops (values_per_range = 16), b int4_bloom_ops) with (pages_per_range = 4, autosummarize = on);
create index by_hash on zoo.indexed using hash (a) with (fillfactor = 60);
create index "odd ""index"".it's %s $1" on zoo.indexed (c);
alter index zoo.by_expression alter column 2 set statistics 400;
comment on index zoo.covering is 'an index';

create statistics zoo.related (ndistinct, dependencies, mcv) on a, b from zoo.indexed;
create statistics zoo."Odd ""statistics"" %s" on (lower(a)), (b % 3), id from zoo.indexed;
create statistics zoo.one_expression on (date_trunc('day', c at time zone 'UTC')) from zoo.indexed;
alter statistics zoo.related set statistics 77;
comment on statistics zoo.related is 'statistics';

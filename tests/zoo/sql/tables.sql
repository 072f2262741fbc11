set role zoo_owner;
set search_path = pg_catalog;

-- Columns that are gone: in the middle, with a default, all of them; and one that came later with a default for old rows.
create table zoo.dropped (gone_first integer, a text, gone_middle text default 'x', b integer, gone_last integer);
insert into zoo.dropped select g, 'a' || g, 'm', g, g from generate_series(1, 5) g;
alter table zoo.dropped drop gone_first, drop gone_middle, drop gone_last, add c integer default 7 not null, add d timestamptz default '2020-01-01 00:00+00';
insert into zoo.dropped values ('later', 6, 8, null);
create table zoo.all_dropped (a integer);
insert into zoo.all_dropped select generate_series(1, 3);
alter table zoo.all_dropped drop a;
create table zoo.no_columns ();
insert into zoo.no_columns default values;
insert into zoo.no_columns default values;
create table zoo.no_rows (id integer primary key, value text);

do $$
declare
    columns text;
    products text;
begin
    select string_agg(format('c%s %s', g, (array['integer', 'text', 'numeric'])[g % 3 + 1]), ', '), string_agg(format('%s * n', g), ', ')
        into columns, products from generate_series(1, 200) g;
    execute format('create table zoo.wide (%s)', columns);
    execute format('insert into zoo.wide select %s from generate_series(1, 3) n', products);
end
$$;

create table zoo.generated (
    a integer, b integer, total integer generated always as (a + b) stored, doubled integer generated always as (zoo.twice(a)) stored,
    label text not null generated always as ('no. ' || lpad(a::text, 3, '0') || E'\n') stored
);
insert into zoo.generated values (1, 2), (5, null), (999, -999);

-- Inheritance of the old kind: a restore gives the children another column order than they have here.
create table zoo.parent (id integer, name text, constraint positive check (id > 0), constraint only_here check (id < 1000) no inherit);
create table zoo.child (extra integer, constraint named check (extra is distinct from 13)) inherits (zoo.parent);
alter table zoo.parent add added_later text default 'later';
create table zoo.other_parent (id integer, other numeric default 1.0);
create table zoo.grandchild (own boolean default true) inherits (zoo.child, zoo.other_parent);
alter table zoo.child alter name set default 'a child''s default', alter id set not null;
create table zoo.adopted (other numeric, note text, id integer);
alter table zoo.adopted inherit zoo.other_parent;
insert into zoo.parent values (1, 'parent', 'p');
insert into zoo.child (id, name, extra, added_later) values (2, 'child', 20, 'c');
insert into zoo.grandchild (id, name, extra, added_later, other, own) values (3, 'grandchild', 30, 'g', 1.00, false);
insert into zoo.adopted values (4.0, 'adopted', 4);

create table zoo.typed of zoo.pair (a with options primary key default 5, b with options default 'of a type');
insert into zoo.typed values (1, 'one'), (default, default);

create unlogged table zoo.unlogged (id integer generated always as identity primary key, value text);
insert into zoo.unlogged (value) select 'not logged ' || g from generate_series(1, 10) g;

create table zoo.tuned (id integer primary key, value text) with (
    fillfactor = 70, autovacuum_enabled = false, autovacuum_vacuum_scale_factor = 0.01, autovacuum_freeze_max_age = 500000000,
    parallel_workers = 3, user_catalog_table = true, vacuum_truncate = off, log_autovacuum_min_duration = 1000
);
insert into zoo.tuned select g, 'tuned' from generate_series(1, 100) g;
alter table zoo.tuned cluster on tuned_pkey;

create table zoo.collated (
    id integer primary key, german text collate zoo.german, nocase text collate zoo.nocase unique, bytes text collate "C", numeric_order text collate zoo.numeric_order,
    posix varchar(9) collate "POSIX", builtin text collate pg_catalog.pg_c_utf8, copied text collate zoo."Copied"
);
insert into zoo.collated values (1, 'Äpfel', 'Straße', 'B', 'a10', 'x', 'y', 'z'), (2, 'Zebra', 'STRASSEN', 'a', 'a9', 'X', 'Y', 'Z');

-- What logical replication would send of an old row.
create table zoo.identity_full (a integer);
alter table zoo.identity_full replica identity full;
create table zoo.identity_nothing (a integer);
alter table zoo.identity_nothing replica identity nothing;
create table zoo.identity_index (a integer not null, b text);
create unique index identity_index_by_a on zoo.identity_index (a);
alter table zoo.identity_index replica identity using index identity_index_by_a;
insert into zoo.identity_index select g, 'i' from generate_series(1, 3) g;
create publication "zoo publication" for table zoo.identity_full where (a > 5), zoo.identity_index (a) with (publish = 'insert, update');
comment on publication "zoo publication" is 'of two tables, by row and by column';

reset role;
create table public.of_the_superuser (id integer primary key, value text);
insert into public.of_the_superuser select g, 'superuser ' || g from generate_series(1, 10) g;
create function public.of_the_superuser(x integer) returns integer language sql immutable return x;
create table public."count" (n integer);
insert into public."count" values (1);

set role zoo_owner;
set search_path = U&"zoo ""odd"".it's %s $1 \00FC\+01F600\000Aline";

create table U&"table ""odd"".it's %s $1 \00FC\+01F600\000Aline" (
    U&"column ""odd"".it's %s $1 \00FC\+01F600\000Aline" integer constraint U&"key ""odd"".it's %s\000Aline" primary key, " " text, "'" text, """" text, "%" text, "\" text, "a,b" text,
    "(" text, "Upper" text, "upper" text, "upPER" text, U&"\000A" text, U&"\0009" text, "{x}" text, "$1" text, ":x" text, "?" text, "--" text, "/*" text, "*/" text
);
insert into U&"table ""odd"".it's %s $1 \00FC\+01F600\000Aline" values (1, 'space', 'quote', 'double');
create index U&"index ""odd"".it's %s $1 \00FC\+01F600\000Aline" on U&"table ""odd"".it's %s $1 \00FC\+01F600\000Aline" (" ", """");
create sequence U&"sequence ""odd"".it's %s $1 \00FC\+01F600\000Aline" owned by U&"table ""odd"".it's %s $1 \00FC\+01F600\000Aline".U&"column ""odd"".it's %s $1 \00FC\+01F600\000Aline";
select nextval(U&'"sequence ""odd"".it''s %s $1 \00FC\+01F600\000Aline"');
create type U&"type ""odd"".it's %s $1 \00FC\+01F600\000Aline" as (U&"attribute ""odd"".it's %s\000Aline" integer);
create table of_odd_type (value U&"type ""odd"".it's %s $1 \00FC\+01F600\000Aline", many U&"type ""odd"".it's %s $1 \00FC\+01F600\000Aline"[]);
insert into of_odd_type values (row(1), array[row(2)::U&"type ""odd"".it's %s $1 \00FC\+01F600\000Aline", null]);
create function U&"function ""odd"".it's %s $1 \00FC\+01F600\000Aline"(integer) returns integer language sql return $1;
create view U&"view ""odd"".it's %s $1 \00FC\+01F600\000Aline" as select * from U&"table ""odd"".it's %s $1 \00FC\+01F600\000Aline";
grant select (U&"column ""odd"".it's %s $1 \00FC\+01F600\000Aline", " "), update ("%") on U&"table ""odd"".it's %s $1 \00FC\+01F600\000Aline" to U&"zoo_r\00F6le.%s $1\000Aline", "zoo ""o'brien";
comment on table U&"table ""odd"".it's %s $1 \00FC\+01F600\000Aline" is U&'a comment ""odd"" it''s %s $1 \\ \000A\\. \000A\\connect nowhere';
comment on column U&"table ""odd"".it's %s $1 \00FC\+01F600\000Aline"."%" is '%';

create table "exactly_sixty_three_bytes_long_name_xxxxxxxxxxxxxxxxxxxxxxxxxxx" ("exactly_sixty_three_bytes_long_column_xxxxxxxxxxxxxxxxxxxxxxxxx" serial primary key, b text unique);
insert into "exactly_sixty_three_bytes_long_name_xxxxxxxxxxxxxxxxxxxxxxxxxxx" (b) values ('a');
create table "exactly_sixty_three_bytes_long_name_xxxxxxxxxxxxxxxxxxxxxxxxxxy" ("exactly_sixty_three_bytes_long_column_xxxxxxxxxxxxxxxxxxxxxxxxx" serial primary key, b text unique);
create table "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀" ("é" integer);
insert into "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀" values (1);
create table " starts with a space" (" a " integer);
create table "." ("." integer, ".." text);
insert into "." values (1, '..');
create table "*" ("*" integer);
insert into "*" values (1);
create table "tbl*?[a-z](x|y)+$" (a integer);
insert into "tbl*?[a-z](x|y)+$" values (1);
create table "--" (a integer);
create table "1" ("1" integer, "1e5" text);
insert into "1" values (1, '1e5');

set role "zoo ""o'brien";
set search_path = "select";
create table "table" ("select" integer primary key, "from" text default 'where', "user" text, "order" integer, "null" text, "primary" boolean);
insert into "table" values (1, 'a', 'b', 2, null, true);
create table "select" ("select" integer references "table");
insert into "select" values (1);
create index "index" on "table" ("order", "user");
create view "view" as select "select", "user" from "table";
create sequence "sequence";
create type "type" as enum ('enum', 'type');
create function "function"("in" integer) returns integer language sql return "in";

set role zoo_owner;
set search_path = "Zoo";
create table "Upper" ("ID" integer primary key, "Name" text, "name" text, "NAME" text);
insert into "Upper" values (1, 'Name', 'name', 'NAME');
create table upper (id integer);
insert into upper values (2);
create table now (now timestamptz default now());
insert into now values ('2024-01-01 00:00+00');
create table lower (lower text);
insert into lower values ('L');
-- Names that a query over "all tables" takes for its own: the catalog's, the alias, the row.
create table pg_class (oid integer, relname text, pg_class text);
insert into "Zoo".pg_class values (1, 'not the catalog', 'x');
create table t (t integer, u text);
insert into t values (1, 'a column named as its table'), (null, 'null');
create table x (t text, "row" text, x text);
insert into x values ('t', 'row', 'x');
create table "integer" ("integer" integer, "text" text, "xmin_" integer, "count" integer, "value" text, "key" text, "md5" text, "ctid_" text);
insert into "integer" values (1, 'text', 2, 3, 'value', 'key', 'md5', 'ctid');
create table public_ (public_ integer);
create function "Upper"(x text) returns text language sql immutable return x;

-- What only a superuser can restore.

-- Functions in C, leakproof, or with a setting that is the superuser's; an aggregate with an internal state.
create function zoo.length_in_c(text) returns integer language internal immutable strict as 'textlen';
create function zoo.tight(integer, integer) returns boolean language sql immutable leakproof return $1 = $2;
create function zoo.logged() returns integer language sql set log_statement = 'all' return 1;
create aggregate zoo.internal_state(numeric) (sfunc = numeric_avg_accum, stype = internal, finalfunc = numeric_avg, sspace = 128);

-- A base type with a cast that converts nothing, an operator family and class, and an index by them.
create type zoo.token;
create function zoo.token_in(cstring) returns zoo.token language internal immutable strict as 'textin';
create function zoo.token_out(zoo.token) returns cstring language internal immutable strict as 'textout';
create type zoo.token (input = zoo.token_in, output = zoo.token_out, like = text, category = 'S', default = 'none', delimiter = ';', collatable = true);
create type zoo.shell;
create cast (zoo.token as text) without function as implicit;
create cast (text as zoo.token) without function as assignment;
create function zoo.token_less(zoo.token, zoo.token) returns boolean language internal immutable strict as 'text_lt';
create function zoo.token_equal(zoo.token, zoo.token) returns boolean language internal immutable strict as 'texteq';
create function zoo.token_compare(zoo.token, zoo.token) returns integer language internal immutable strict as 'bttextcmp';
create operator zoo.<| (leftarg = zoo.token, rightarg = zoo.token, function = zoo.token_less);
create operator zoo.=| (leftarg = zoo.token, rightarg = zoo.token, function = zoo.token_equal);
create operator family zoo.token_family using btree;
create operator class zoo.token_class default for type zoo.token using btree family zoo.token_family as
    operator 1 zoo.<|, operator 3 zoo.=|, function 1 zoo.token_compare(zoo.token, zoo.token);
create operator class zoo.plain_class for type integer using hash as operator 1 =, function 1 hashint4(integer);
create table zoo.tokens (id integer primary key, value zoo.token, many zoo.token[]);
insert into zoo.tokens values (1, 'a', '{a;b}'), (2, E'it''s \\ "b"', null);
create index tokens_by_value on zoo.tokens (value zoo.token_class);
comment on operator class zoo.token_class using btree is 'an operator class';

create function zoo.on_ddl() returns event_trigger language plpgsql as $$ begin null; end $$;
create event trigger "zoo event" on ddl_command_end when tag in ('SECURITY LABEL') execute function zoo.on_ddl();
create event trigger zoo_disabled on sql_drop execute function zoo.on_ddl();
alter event trigger zoo_disabled disable;
comment on event trigger "zoo event" is 'an event trigger';

create access method zoo_heap type table handler heap_tableam_handler;
create table zoo.by_other_method (id integer primary key, value text) using zoo_heap;
insert into zoo.by_other_method values (1, 'a');

create foreign data wrapper zoo_wrapper options (debug 'true');
create server "zoo server" type 'none' version '1' foreign data wrapper zoo_wrapper options (host 'it''s', port '1');
create user mapping for "zoo reader" server "zoo server" options (password 'not a secret');
create user mapping for public server "zoo server";
create foreign table zoo.elsewhere (id integer options (name 'x'), value text) server "zoo server" options (path 'it''s');
grant usage on foreign server "zoo server" to zoo_writer;
grant usage on foreign data wrapper zoo_wrapper to "zoo reader";

create text search parser zoo.parser (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype, headline = prsd_headline);
create text search template zoo.template (init = dsimple_init, lexize = dsimple_lexize);
create extension pageinspect schema zoo_ext;

-- Rights that somebody else than the owner passed on, and rights on what the superuser owns.
set role zoo_writer;
grant select, insert on zoo.people to "ZOO_Group", U&"zoo_r\00F6le.%s $1\000Aline";
set role "zoo ""o'brien";
grant select (body) on zoo_security.documents to "ZOO_Group";
reset role;
alter default privileges grant select on tables to "zoo reader";
grant execute on function pg_stat_statements_reset(oid, oid, bigint, boolean) to "zoo reader";
grant execute on function pg_catalog.pg_ls_waldir() to "zoo reader";
grant usage on language plpgsql to "zoo reader" with grant option;
grant select on pg_catalog.pg_authid to "zoo reader";

create publication zoo_all_tables for all tables;
create publication zoo_schema for tables in schema zoo_empty;

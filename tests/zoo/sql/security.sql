set role zoo_owner;
set search_path = pg_catalog;

-- Row-level security: on, on but without a policy, forced, and with policies while off.
create table zoo_security.documents (id integer primary key, owner_name text, body text, secret text);
insert into zoo_security.documents select g, (array['zoo reader', 'zoo_writer', 'nobody'])[g % 3 + 1], 'body ' || g, 'secret ' || g from generate_series(1, 30) g;
create policy of_owner on zoo_security.documents for select to "zoo reader", "zoo ""o'brien" using (owner_name = current_user);
create policy writes on zoo_security.documents for update to zoo_writer using (owner_name = current_user) with check (body <> 'it''s' and owner_name = current_user);
create policy "odd ""policy"".it's %s $1" on zoo_security.documents as restrictive for all to public using (id > 0);
create policy inserts on zoo_security.documents for insert with check (exists (select from zoo.people p where p.id = documents.id));
create policy deletes on zoo_security.documents for delete to current_user using (false);
alter table zoo_security.documents enable row level security;
comment on policy of_owner on zoo_security.documents is 'a policy';
create table zoo_security.forced (id integer primary key, value text);
insert into zoo_security.forced select g, 'hidden even from the owner ' || g from generate_series(1, 20) g;
create policy nobody on zoo_security.forced using (false) with check (false);
alter table zoo_security.forced enable row level security, force row level security;
create table zoo_security.no_policy (id integer);
insert into zoo_security.no_policy select generate_series(1, 5);
alter table zoo_security.no_policy enable row level security;
create table zoo_security.switched_off (id integer);
insert into zoo_security.switched_off select generate_series(1, 5);
create policy unused on zoo_security.switched_off using (id = 1);
alter table zoo_security.switched_off force row level security;

-- Rights on each kind of object, to several roles, with and without the option to pass them on.
grant usage on schema zoo to "zoo reader", zoo_writer, public;
grant create, usage on schema zoo_security to zoo_writer with grant option;
grant usage on schema zoo_security to "zoo reader", "zoo ""o'brien";
grant select on all tables in schema zoo to "zoo reader";
grant select, insert, update, delete, truncate, references, trigger, maintain on zoo.people to zoo_writer with grant option;
grant all on zoo.texts to "zoo ""o'brien", U&"zoo_r\00F6le.%s $1\000Aline";
grant select (id, owner_name), insert (id, body), update (body), references (id) on zoo_security.documents to "zoo reader", zoo_writer;
grant select (body) on zoo_security.documents to "zoo ""o'brien" with grant option;
grant select on zoo_security.no_policy to public;
grant select on zoo.numbers to pg_monitor;
grant usage, select on sequence zoo.plain to zoo_writer;
grant all on sequence zoo.descending to "zoo ""o'brien" with grant option;
grant update on sequence zoo.cycling to public;
revoke execute on function zoo.safe() from public;
grant execute on function zoo.safe() to "zoo reader" with grant option;
revoke all on procedure zoo.commits from public;
grant execute on function zoo.total(integer) to zoo_writer;
revoke usage on type zoo.mood, zoo.time_range from public;
grant usage on type zoo.mood to "zoo reader" with grant option;
revoke usage on domain zoo.positive from public;
grant usage on domain zoo.positive to "ZOO_Group";
-- An owner without rights on its own, one with some, and rights that came and went: no longer null, yet the default.
revoke all on zoo.journal from zoo_owner;
revoke delete, truncate on zoo.ruled from zoo_owner;
revoke execute on function zoo.twice(integer) from public;
revoke execute on procedure zoo.note from zoo_owner;
grant select on zoo.enums to zoo_writer;
revoke select on zoo.enums from zoo_writer, "zoo reader";
grant select (mood) on zoo.enums to zoo_writer;
revoke select (mood) on zoo.enums from zoo_writer;

alter default privileges in schema zoo grant select on tables to "zoo reader";
alter default privileges in schema zoo grant usage on sequences to "zoo ""o'brien" with grant option;
alter default privileges revoke execute on functions from public;
alter default privileges revoke usage on types from public;
alter default privileges grant usage, create on schemas to zoo_writer;
alter default privileges grant insert on tables to U&"zoo_r\00F6le.%s $1\000Aline";
alter default privileges for role zoo_owner in schema zoo_security grant execute on functions to "zoo reader";

reset role;
alter default privileges for role "zoo ""o'brien" in schema "select" grant select on tables to public;
create table zoo."of o'brien" (id integer primary key, value text);
insert into zoo."of o'brien" values (1, 'of another owner in the same schema');
alter table zoo."of o'brien" owner to "zoo ""o'brien";
create table zoo.of_superuser (id integer generated always as identity primary key, value text);
insert into zoo.of_superuser (value) values ('of the superuser in the schema of another');
grant select on zoo.of_superuser to "zoo reader" with grant option;
create view zoo.of_superuser_view as select * from zoo_security.forced;
grant usage on schema public to "zoo reader";
revoke usage on schema public from public;
grant create on schema public to zoo_writer;
grant select on public.of_the_superuser to public;

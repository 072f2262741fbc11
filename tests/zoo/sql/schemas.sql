-- Schemas and trusted extensions; the untrusted ones come from template1.
do $$
begin
    execute format('grant create, temporary on database %I to zoo_owner', current_database());
    execute format('grant connect on database %I to "zoo reader" with grant option', current_database());
    execute format('comment on database %I is %L', current_database(), 'the zoo: it holds everything PostgreSQL has');
end
$$;

create schema zoo authorization zoo_owner;
create schema zoo_ext authorization zoo_owner;
create schema zoo_security authorization zoo_owner;
create schema "Zoo" authorization zoo_owner;
create schema "select" authorization "zoo ""o'brien";
create schema zoo_empty authorization zoo_owner;
create schema U&"zoo ""odd"".it's %s $1 \00FC\+01F600\000Aline" authorization zoo_owner;
comment on schema zoo is 'The zoo''s own schema: \backslash, "quote", 😀';

-- Some in a schema of their own, so that their operators are off the search path.
create extension hstore schema zoo_ext;
create extension pg_trgm schema zoo_ext;
create extension citext schema public;
create extension pgcrypto schema public;
create extension btree_gin schema zoo_ext;
create extension btree_gist schema zoo_ext;
create extension ltree schema zoo_ext;
create extension intarray schema zoo_ext;
create extension isn schema zoo_ext;
create extension cube schema zoo_ext;
create extension seg schema zoo_ext;
create extension lo schema zoo_ext;
create extension unaccent schema zoo_ext;
comment on extension hstore is 'not the comment that it came with';

set role zoo_owner;
set search_path = pg_catalog;

create function zoo.twice(x integer) returns integer language sql immutable strict parallel safe return x * 2;
create function zoo.twice(x text) returns text language sql immutable as 'select x || x';
create function zoo.shout(x text, variadic rest text[] default '{"a","b''c"}') returns text
    language sql stable cost 7 as $body$ select upper(x) || '\n' || array_to_string(rest, '$$') $body$;
create function zoo.both(in x integer, out a integer, out b text, inout c numeric default 1.50) returns record
    language plpgsql as $$ begin a := x; b := E'it''s \\ %'; end $$;
create function zoo.many(n integer) returns table (i integer, "Odd ""column""" text)
    language plpgsql rows 17 as $$ begin return query select g, g::text from generate_series(1, n) g; end $$;
create function zoo.any_of(x anyelement, y anycompatiblearray) returns anyelement language sql as 'select x';
create function zoo.safe() returns text
    language sql security definer set search_path = pg_catalog, pg_temp set work_mem = '3MB' set timezone = 'Asia/Tokyo'
    as 'select current_user::text';
create function zoo."Odd ""function"".it's %s $1"("Arg %" integer default 1) returns integer language sql return "Arg %";
create function zoo.atomic(n integer) returns setof text
    language sql stable
begin atomic
    with numbers as (select g from generate_series(1, n) g)
    select format('%s of %s', g, n) from numbers order by g desc;
end;
create function zoo.count(x integer) returns integer language sql immutable return x;
create function zoo."table"() returns integer language sql immutable return 1;

create procedure zoo.note(inout x integer, y text default 'it''s') language plpgsql as $$ begin x := x + 1; end $$;
create procedure zoo.commits() language plpgsql as $$ begin commit; end $$;
comment on function zoo.twice(integer) is 'overloaded: the number';
comment on function zoo.twice(text) is 'overloaded: the text';
comment on procedure zoo.note is 'a procedure';
comment on routine zoo.commits is E'two\nlines';

-- Aggregates: plain, parallel and moving, with several arguments, variadic.
create function zoo.add(a integer, b integer) returns integer language sql immutable parallel safe return coalesce(a, 0) + coalesce(b, 0);
create function zoo.subtract(a integer, b integer) returns integer language sql immutable return a - coalesce(b, 0);
create function zoo.final(a integer) returns text language sql immutable return 'sum ' || a;
create function zoo.weigh(state numeric, value numeric, weight numeric) returns numeric
    language sql immutable return state + value * weight;
create function zoo.collect(state text[], variadic items text[]) returns text[] language sql immutable return state || items;
create aggregate zoo.total(integer) (
    sfunc = zoo.add, stype = integer, initcond = '0', combinefunc = zoo.add, finalfunc = zoo.final, parallel = safe,
    msfunc = zoo.add, minvfunc = zoo.subtract, mstype = integer, minitcond = '0', mfinalfunc = zoo.final
);
create aggregate zoo.weighted(value numeric, weight numeric) (sfunc = zoo.weigh, stype = numeric, initcond = '0');
create aggregate zoo."Collect %"(variadic text[]) (sfunc = zoo.collect, stype = text[], initcond = '{}');
create aggregate zoo.least_of(integer) (sfunc = int4smaller, stype = integer, sortop = operator(pg_catalog.<));
comment on aggregate zoo.total(integer) is 'an aggregate';

-- Operators that name each other, a prefix one, and a name that pg_dump must qualify.
create function zoo.pair_equal(x zoo.pair, y zoo.pair) returns boolean language sql immutable return (x).a = (y).a;
create function zoo.pair_differs(x zoo.pair, y zoo.pair) returns boolean language sql immutable return (x).a <> (y).a;
create operator zoo.=== (
    leftarg = zoo.pair, rightarg = zoo.pair, function = zoo.pair_equal,
    commutator = operator(zoo.===), negator = operator(zoo.!==), restrict = eqsel, join = eqjoinsel
);
create operator zoo.!== (
    leftarg = zoo.pair, rightarg = zoo.pair, function = zoo.pair_differs,
    commutator = operator(zoo.!==), negator = operator(zoo.===), restrict = neqsel, join = neqjoinsel
);
create operator zoo.@#@ (rightarg = integer, function = zoo.twice);
create operator zoo.+ (leftarg = zoo.pair, rightarg = zoo.pair, function = zoo.pair_equal);
comment on operator zoo.=== (zoo.pair, zoo.pair) is 'an operator';

-- Casts: explicit, on assignment, implicit, through input and output.
create function zoo.to_integer(x zoo.pair) returns integer language sql immutable return (x).a;
create function zoo.to_pair(x integer) returns zoo.pair language sql immutable as 'select row(x, null)::zoo.pair';
create function zoo.to_mood(x integer) returns zoo.mood language sql immutable as $$ select 'ok'::zoo.mood $$;
create cast (zoo.pair as integer) with function zoo.to_integer(zoo.pair) as assignment;
create cast (integer as zoo.pair) with function zoo.to_pair(integer);
create cast (integer as zoo.mood) with function zoo.to_mood(integer) as implicit;
create cast (zoo.mood as json) with inout;
comment on cast (zoo.pair as integer) is 'a cast';

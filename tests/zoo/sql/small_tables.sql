-- Tables first..last, each with three columns, an index and a few rows; every hundredth has an odd name.
create schema if not exists zoo_small;
create or replace function pg_temp.small_tables(first integer, last integer) returns void language plpgsql as $$
declare
    table_name text;
begin
    for n in first..last loop
        table_name := case when n % 100 = 0 then format('small "odd".it''s %%s $1 é😀 %s', n) else format('small_%s', n) end;
        execute format('create table zoo_small.%I (id integer, name text, value numeric)', table_name);
        execute format('create index on zoo_small.%I (id)', table_name);
        execute format('insert into zoo_small.%I select g, %L || g, g / 3.0 from generate_series(1, 3) g', table_name, table_name || ' ');
    end loop;
end
$$;

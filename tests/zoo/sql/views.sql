set role zoo_owner;
set search_path = pg_catalog;

create table zoo.people (id integer primary key, name text, mood zoo.mood, boss integer);
insert into zoo.people select g, 'person ' || g, (enum_range(null::zoo.mood))[g % 5 + 1], nullif(g / 2, 0) from generate_series(1, 30) g;

create view zoo.plain_view as select p.*, p as whole_row, now() as at from zoo.people p where p.name like '%1' or p.name ~ E'\\d''';
create view zoo.local_check as select id, name from zoo.people where id < 100 with local check option;
create view zoo.cascaded_check as select id from zoo.local_check where id > 0 with cascaded check option;
create recursive view zoo.chain (id, depth, way) as
    select id, 1, array[id] from zoo.people where boss is null
    union all select p.id, c.depth + 1, c.way || p.id from zoo.people p join chain c on p.boss = c.id;
create view zoo.barrier with (security_barrier) as select * from zoo.people where mood <> 'worst';
create view zoo.invoker with (security_invoker = true, security_barrier = false) as select id, mood from zoo.people;
create view zoo."Odd ""view"".it's %s $1" ("Odd ""column""", "select") as values (1, 'a'), (2, E'b\n');
create view zoo.grouped_by_key as select id, name, mood, count(*) as n from zoo.people group by id;
create view zoo.complicated as
    with recursive tree as materialized (
        select id, boss from zoo.people where boss is null union select p.id, p.boss from zoo.people p join tree t on p.boss = t.id
    ) search depth first by id set path cycle id set looped using way
    select distinct on (p.mood) p.mood, rank() over w as place, sum(p.id) filter (where p.id > 3) over (w rows between 1 preceding and current row exclude ties) as total,
        (select array_agg(x.id order by x.id desc nulls last) from tree x where x.boss = p.id) as under, percentile_cont(0.5) within group (order by q.id) as middle,
        grouping(p.mood) as level, f.ordinality, p.name collate "C" as named
    from zoo.people p left join zoo.people q using (id, mood) cross join lateral generate_series(1, 2) with ordinality f
    group by grouping sets ((p.mood, p.id, p.name, f.ordinality), (p.mood, p.id, p.name, f.ordinality, q.id))
    window w as (partition by p.mood order by p.id) order by p.mood, p.id;
create view zoo.from_documents as
    select j.*, x.* from zoo.documents d,
        json_table(d.b, '$' columns (n for ordinality, a jsonb path '$.a', nested path '$.b[*]' columns (item numeric path '$'))) j,
        xmltable('/a' passing d.x columns b text path '@b', t text default 'none') x where d.id = 1;
create view zoo.sampled as select * from zoo.people tablesample bernoulli (50) repeatable (1);
create view zoo.renamed as select name as "Name", id from zoo.people;
alter view zoo.renamed rename "Name" to "name again";
alter view zoo.local_check alter name set default 'a view''s default';
comment on view zoo.plain_view is 'a view';
comment on column zoo.plain_view.at is 'a column of a view';

create materialized view zoo.moods with (fillfactor = 90) as select mood, count(*) as n, string_agg(name, E'\n' order by id) as names from zoo.people group by mood;
create unique index moods_by_mood on zoo.moods (mood);
create index moods_by_n on zoo.moods (n) where n > 1;
create materialized view zoo.of_another as select sum(n) as total from zoo.moods;
create materialized view zoo.not_filled as select id, upper(name) as name from zoo.people with no data;
create unique index not_filled_by_id on zoo.not_filled (id);
create materialized view zoo."Odd ""materialized"" %s" as select 1 as "one" union all select 2;
refresh materialized view concurrently zoo.moods;
update zoo.people set mood = 'happy' where id = 1;
comment on materialized view zoo.moods is 'not refreshed since a row changed';

create function zoo.of_people(who zoo.people) returns setof zoo.barrier language sql stable
begin atomic
    select * from zoo.barrier b where b.id = who.id;
end;
create view zoo.through_function as select f.* from zoo.people p, zoo.of_people(p) f;

-- Triggers: on a view, of a statement with its rows, deferred, disabled, always.
create table zoo.journal (id bigint generated always as identity primary key, what text not null default '', at timestamptz default '2024-01-01 00:00+00');
create function zoo.write_down() returns trigger language plpgsql security definer set search_path = zoo, pg_temp as $$
begin
    insert into zoo.journal (what) values (tg_name || ' ' || tg_op || ' ' || coalesce(tg_argv[0], ''));
    return null;
end
$$;
create function zoo.through_view() returns trigger language plpgsql as $$ begin insert into zoo.people (id, name) values (new.id, new."name again"); return new; end $$;
create trigger instead instead of insert on zoo.renamed for each row execute function zoo.through_view();
create trigger with_rows after update on zoo.people referencing old table as before new table as after for each statement execute function zoo.write_down('rows');
create trigger "odd ""trigger"".it's %s" after insert on zoo.people for each row when (new.id > 1) execute function zoo.write_down(E'it''s \\ "an" argument\n%');
create trigger off after delete on zoo.people for each row execute function zoo.write_down();
create trigger always_on after truncate on zoo.people execute function zoo.write_down();
create trigger on_replica after delete on zoo.people execute function zoo.write_down();
create constraint trigger deferred after insert or update of name on zoo.people from zoo.journal deferrable initially deferred for each row execute function zoo.write_down();
create constraint trigger at_once after update on zoo.people for each row execute function zoo.write_down();
alter table zoo.people disable trigger off;
alter table zoo.people enable always trigger always_on;
alter table zoo.people enable replica trigger on_replica;
update zoo.people set name = 'person 2 again' where id = 2;
insert into zoo.renamed values ('through the view', 100);

-- Rules: also, instead, nothing, with a condition, disabled, on a view.
create table zoo.ruled (id integer primary key, value text);
create rule copy_it as on insert to zoo.ruled do also insert into zoo.journal (what) values (format('rule %s', new.value));
create rule "odd ""rule"" %s" as on delete to zoo.ruled where old.id = 1 do instead nothing;
create rule several as on update to zoo.ruled where new.value is null
    do instead (delete from zoo.journal where what = 'never'; insert into zoo.journal (what) values (E'it''s\n'));
create rule silent as on update to zoo.ruled do also notify zoo;
alter table zoo.ruled disable rule silent;
create rule insert_through as on insert to zoo."Odd ""view"".it's %s $1" do instead insert into zoo.ruled values (new."Odd ""column""", new."select") returning id, value;
insert into zoo.ruled values (1, 'one'), (2, null);
comment on rule copy_it on zoo.ruled is 'a rule';

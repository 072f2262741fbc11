set role zoo_owner;
set search_path = pg_catalog;

-- Checks: `varchar in (...)` reads otherwise after a restore; those not valid have rows that break them.
create table zoo.checked (
    id integer primary key, state varchar(10) check (state in ('new', 'it''s', 'done')), code char(2) constraint "odd ""check"" %s" check (code in ('aa', 'bb')),
    amount numeric check (amount > 0 and (amount < 100 or amount = 1e10)), starts date, ends date, constraint ordered check (starts <= ends)
);
insert into zoo.checked values (1, 'new', 'aa', 1.50, '2020-01-01', '2020-01-02'), (2, null, null, null, null, null), (3, 'it''s', 'bb', 1e10, 'infinity', 'infinity');
alter table zoo.checked add constraint not_yet check (id > 2) not valid;
comment on constraint ordered on zoo.checked is 'a constraint';

create table zoo.keys (
    id integer primary key deferrable initially deferred, a integer, b text, c integer, constraint "unique ab" unique nulls not distinct (a, b) include (c),
    constraint late_unique unique (c) deferrable
);
insert into zoo.keys values (1, 1, 'x', 1), (2, null, null, 2);

create table zoo.trees (
    id integer primary key, parent integer constraint self references zoo.trees on update cascade on delete set null deferrable initially deferred, name text
);
insert into zoo.trees values (3, 1, 'child before parent'), (1, 2, 'its own grandparent'), (2, 1, 'loop'), (4, 4, 'itself');

create table zoo.chickens (id integer primary key, egg integer);
create table zoo.eggs (id integer primary key, chicken integer references zoo.chickens deferrable initially immediate);
alter table zoo.chickens add constraint from_egg foreign key (egg) references zoo.eggs deferrable initially deferred;
insert into zoo.chickens select g, 100 - g from generate_series(1, 99) g;
insert into zoo.eggs select g, 100 - g from generate_series(1, 99) g;

create table zoo.orders (a integer, b text, note integer, primary key (a, b));
create table zoo.lines (
    id integer primary key, a integer default -1, b text default 'none'
);
alter table zoo.lines add constraint "to orders" foreign key (a, b) references zoo.orders match full on delete set default (b) on update no action;
insert into zoo.orders values (1, 'x', 1), (-1, 'none', 0);
insert into zoo.lines values (1, 1, 'x'), (2, default, default), (3, null, null);
create table zoo.orphans (id integer primary key, tree integer);
insert into zoo.orphans values (1, 1), (2, 999);
alter table zoo.orphans add constraint broken foreign key (tree) references zoo.trees not valid;

create table zoo.bookings (
    id integer primary key, room integer, during tstzrange, exclude using gist (room zoo_ext.gist_int4_ops with =, during with &&) where (room > 0),
    constraint "late exclusion" exclude using btree (during with =) deferrable initially deferred
);
insert into zoo.bookings values (1, 1, '[2020-01-01 00:00+00,2020-01-02 00:00+00)'), (2, 1, '[2020-01-02 00:00+00,2020-01-03 00:00+00)'), (3, -1, null), (4, 2, 'empty');

-- What the churn works on. The sum over both tables of accounts is 150000, whatever goes on; neither is truncated or rewritten,
-- because a snapshot that is older than a rewrite sees an empty table.
drop schema if exists zoo_churn cascade;
create schema zoo_churn;
create table zoo_churn.left_accounts (id integer primary key, amount bigint not null);
create table zoo_churn.right_accounts (id integer primary key, amount bigint not null);
insert into zoo_churn.left_accounts select g, 1000 from generate_series(1, 100) g;
insert into zoo_churn.right_accounts select g, 1000 from generate_series(1, 50) g;

create table zoo_churn.notes (id bigint generated always as identity primary key, n integer, body text);
insert into zoo_churn.notes (n, body) select g, 'note ' || g from generate_series(1, 500) g;
create table zoo_churn.emptied (id integer, body text);
create table zoo_churn.renamed (id integer, body text);
create table zoo_churn.rewritten (id integer primary key, amount integer, body text);
insert into zoo_churn.rewritten select g, g, 'row ' || g from generate_series(1, 500) g;
create table zoo_churn.parts (id integer, body text) partition by range (id);
create table zoo_churn.parts_0 partition of zoo_churn.parts for values from (0) to (250);
create table zoo_churn.parts_1 partition of zoo_churn.parts for values from (250) to (500);
create table zoo_churn.parts_2 partition of zoo_churn.parts for values from (500) to (750);
create table zoo_churn.blobs (id bigint generated always as identity primary key, lo oid);
create sequence zoo_churn.numbers;
create materialized view zoo_churn.summary as select n % 10 as digit, count(*) as notes from zoo_churn.notes group by 1;
create unique index summary_by_digit on zoo_churn.summary (digit);
create function zoo_churn.answer() returns integer language sql return 42;
create view zoo_churn.looked_at as select id, 42 as answer from zoo_churn.left_accounts;

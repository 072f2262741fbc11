-- Large objects: empty, small, of more than a megabyte, sparse, of another owner, with rights and comments, in a column.
select lo_create(424201);
select lo_from_bytea(424202, '\x00ff0a5c27');
select lo_from_bytea(424203, decode(string_agg(md5(g::text), ''), 'hex')) from generate_series(1, 100000) g;
select lo_from_bytea(424204, convert_to('of another role', 'UTF8'));
select lo_from_bytea(424205, 'sparse'), lo_put(424205, 300000, 'far behind');
select lo_from_bytea(4294967295, 'the last number there is');
comment on large object 424201 is 'empty, it''s "commented" \';
comment on large object 424203 is 'large';
alter large object 424202 owner to zoo_owner;
alter large object 424204 owner to "zoo ""o'brien";
grant select on large object 424203 to "zoo reader", public;
grant select, update on large object 424204 to zoo_writer with grant option;

set role zoo_owner;
create table zoo.images (id integer primary key, raster zoo_ext.lo, plain oid);
create trigger keep_tidy before update or delete on zoo.images for each row execute function zoo_ext.lo_manage(raster);
insert into zoo.images select g, lo_from_bytea(0, convert_to('image ' || g, 'UTF8')), 424203 from generate_series(1, 20) g;

-- Values of every type, the odd ones first.
set role zoo_owner;
set search_path = pg_catalog;

create table zoo.numbers (
    id integer primary key, s smallint, i integer, b bigint, n numeric, n_exact numeric(10, 4), n_rounded numeric(5, -2), n_small numeric(3, 5),
    f4 real, f8 double precision, m money, flag boolean, o oid, single "char"
);
insert into zoo.numbers values
    (1, -32768, -2147483648, -9223372036854775808, 'NaN', 1, 12345, 0.00123, 'NaN', 'NaN', -1.23, true, 4294967295, 'a'),
    (2, 32767, 2147483647, 9223372036854775807, 'Infinity', 'NaN', -99900, -0.00999, 'Infinity', 'Infinity', 92233720368547758.07, false, 0, ''),
    (3, 0, 0, 0, '-Infinity', -0.0001, 0, 0, '-Infinity', '-Infinity', 0, null, 16384, E'\\'),
    (4, 1, 1, 1, 1.0, 1.00, 100, 0.00001, '-0', '-0', 0.01, true, 1, '"'),
    (5, 2, 2, 2, 1.00, 999999.9999, 100, 0.00001, 1e-45, 5e-324, 1234567.89, true, 2, '\351'),
    (6, 3, 3, 3, repeat('9', 2000)::numeric + 0.5, 0, 0, 0, 3.4028235e38, 1.7976931348623157e308, 1, true, 3, ' '),
    (7, 4, 4, 4, ('0.' || repeat('0', 1500) || '1')::numeric, 0, 0, 0, 0.1, 0.1, 1, true, 4, null),
    (8, 5, 5, 5, 1e-300, 0, 0, 0, 1.1754944e-38, 0.30000000000000004, 1, true, 5, '1'),
    (9, null, null, null, null, null, null, null, null, null, null, null, null, null);

create table zoo.texts (id integer primary key, what text not null unique, value text);
insert into zoo.texts values
    (1, 'null', null), (2, 'empty', ''), (3, 'the letters NULL', 'NULL'), (4, 'null of COPY', '\N'),
    (5, 'end of COPY', '\.'), (6, 'end of COPY on its own line', E'before\n\\.\nafter'), (7, 'spaces', '   '),
    (8, 'quotes', $$it's "quoted" ''twice'' ""twice""$$), (9, 'backslashes', $$\ \\ \\\ \n \t \x41 \101 \u0041$$),
    (10, 'newlines', E'\n\n'), (11, 'carriage returns', E'a\r\nb\rc\n\r'), (12, 'tabs', E'\t\ta\t'),
    (13, 'control characters', E'\x01\x02\x07\b\f\x0B\x1B[31m\x7F'), (14, 'emojis', '😀👩‍👩‍👧‍👦🏳️‍🌈🇩🇪'),
    (15, 'composed', 'é'), (16, 'decomposed', U&'e\0301'), (17, 'right to left', U&'\202Eabc\202C שלום'),
    (18, 'byte order mark', U&'\FEFFa'), (19, 'no-break and zero-width', U&'\00A0\200B\2028\2029\0085'),
    (20, 'the last code point', U&'\+10FFFF'), (21, 'dollars', '$$ $1 $body$ $'), (22, 'percents', '%s %(x)s %% %'),
    (23, 'sql', $$'); drop table x; --$$), (24, 'psql', E'\n\\! echo\n\\connect x\n\\unrestrict\n'),
    (25, 'csv', E'a,"b\n",c'), (26, 'braces', '{{ x }} {% y %} ${z}'), (27, 'ends in a backslash', 'a\'), (28, 'blank at the end', 'a ');
insert into zoo.texts select 100, 'a megabyte', repeat('0123456789abcdef', 65536);
insert into zoo.texts select 101, 'a megabyte that does not compress', string_agg(md5(g::text), '') from generate_series(1, 32768) g;
insert into zoo.texts select 102, 'a megabyte of newlines and backslashes', repeat(E'\\\n', 524288);

create table zoo.strings (c char(10), c1 char, v varchar(5), v_any varchar, n name, b bytea, fixed bit(8), varying bit varying, limited bit varying(5));
insert into zoo.strings values
    ('a', 'x', 'abc', repeat('v', 3000), 'a name', '\x', b'10101010', b'', b'1'),
    ('a   ', ' ', '     ', '', '', '\x00ff5c0a27220d', b'00000000', b'1', b'00000'),
    ('ünïcode', null, 'ünïco', null, null, null, null, null, null),
    ('', '', '', E'\\', repeat('n', 63), decode(repeat('00ff', 300000), 'hex'), x'FF', repeat('1', 10000)::varbit, b'10101');

create table zoo.times (
    id integer primary key, d date, t time, t0 time(0), tz timetz, ts timestamp, ts3 timestamp(3), tstz timestamptz,
    i interval, i_month interval year to month, i_second interval second(2)
);
insert into zoo.times values
    (1, 'infinity', '24:00', '23:59:59', '24:00:00+15:59', 'infinity', '2000-01-01 00:00:00.1239', 'infinity', 'infinity', '1 year 2 months', '1.239'),
    (2, '-infinity', '00:00', '00:00', '00:00-15:59', '-infinity', 'epoch', '-infinity', '-infinity', '-11 months', '-0.5'),
    (3, '4714-11-24 BC', '23:59:59.999999', '12:00', '12:00:00.000001+05:30', '4714-11-24 00:00:00 BC', '1900-01-01', '4714-11-24 00:00:00+00 BC', '1 year 2 mons -3 days +04:05:06.789', '0', '0'),
    (4, '5874897-12-31', '12:34:56.5', '12:34:56.5', '12:34:56+00', '294276-12-31 23:59:59.999999', '2038-01-19 03:14:08', '294276-12-31 23:59:59.999999+00', '-1 year -2 mons +3 days -04:05:06.000001', null, null),
    (5, '0001-01-01', '01:02:03', null, null, '0044-03-15 12:00:00 BC', null, '1883-11-18 12:03:58-04:56:02', '178000000 years', null, null),
    (6, '2024-02-29', null, null, null, '2024-03-31 02:30', null, '2024-10-27 02:30+02', '1 month', null, null),
    (7, null, null, null, null, null, null, null, '30 days', null, null), (8, null, null, null, null, null, null, null, '720 hours', null, null),
    (9, null, null, null, null, null, null, null, '0', null, null), (10, null, null, null, null, null, null, null, '-00:00:00.000001', null, null);

create table zoo.arrays (
    id integer primary key, i integer[], t text[], two_dimensional integer[][], lower_bounds integer[], pairs zoo.pair[], moods zoo.mood[],
    domains zoo.positive[], ranges int4range[], bytes bytea[], documents jsonb[], triple zoo.triple, limited varchar(3)[]
);
insert into zoo.arrays values
    (1, '{}', '{}', '{}', '[0:2]={1,2,3}', '{}', '{}', '{}', '{}', '{}', '{}', '{1,2,3}', '{abc}'),
    (2, '{1,null,3}', array['', 'NULL', null, 'a,b', '"', '\', '{}', E'\n', ' '], '{{1,2},{null,4}}', '[-1:0][5:6]={{1,2},{3,4}}',
        array[row(1, 'a"b')::zoo.pair, row(null, null)::zoo.pair, null, row(2, '')::zoo.pair], '{sad,fine,NULL}', '{1,2}',
        '{empty,"[1,5)","(,)"}', array['\x00'::bytea, '\x', null], array['{"a": [1, null]}'::jsonb, 'null', null], null, '{a,"b ",NULL}'),
    (3, null, null, '{{{1},{2}},{{3},{4}}}', null, null, null, null, null, null, null, null, null);

create table zoo.composites (id integer primary key, p zoo.pair, n zoo.nested, nothing zoo.nothing, good zoo.good_pair, changed zoo.altered, r zoo.numbers);
insert into zoo.composites values
    (1, row(1, E'it''s "(a,b)" \\ \n'), row(row(1, 'x'), array[row(2, null)::zoo.pair], 'fine', 1.50), row(), row(1, ''), row('k', 'ok'), null),
    (2, row(null, null), row(null, null, null, null), null, null, null, null), (3, null, null, null, null, null, null);
update zoo.composites set r = (select x from zoo.numbers x where x.id = 4) where id = 1;

create table zoo.enums (id integer primary key, mood zoo.mood default 'fine', odd zoo."Odd Enum", nothing zoo.no_labels);
insert into zoo.enums (id, mood) select row_number() over (), m from unnest(enum_range(null::zoo.mood)) m;
insert into zoo.enums (id, mood, odd) select 100 + row_number() over (), null, o from unnest(enum_range(null::zoo."Odd Enum")) o;

create table zoo.domains (id zoo.positive primary key, even zoo.even, code zoo.code, pair zoo.good_pair, range zoo.short_range, late zoo.late);
insert into zoo.domains values (1, 2, 'a', row(1, null), '[1,5)', 'x'), (2, null, 'it''s', null, 'empty', null);
insert into zoo.domains (id) values (3);

create table zoo.documents (id integer primary key, j json, b jsonb, p jsonpath, x xml);
insert into zoo.documents values
    (1, '{"a":1,  "a":2,"b" : [1.0,1.00, 1e400]}', '{"b": [1.0, 1.00, 1e400], "a": {"": null}, "é😀": "\u00e9 \\ \""}', '$.a[*] ? (@ > 1 && @.b == "x")', '<a b="c">t&amp;<d/></a>'),
    (2, 'null', 'null', 'strict $."a b".type()', 'content <!-- no document -->'), (3, '"\u0000 fits json only"', '""', '$', ''),
    (4, E'\n[ ]\n', '[]', '$[0 to last]', '<![CDATA[ <&> ]]>'), (5, null, null, null, null),
    (6, '0', '-0.0', '$.datetime("HH24:MI")', '<r>é😀</r>'),
    (7, null, (select jsonb_object_agg('key ' || g, g) from generate_series(1, 5000) g), null, null);

create table zoo.ranges (
    id integer primary key, i int4range, b int8range, n numrange, d daterange, ts tsrange, tz tstzrange, im int4multirange, nm nummultirange,
    dm datemultirange, t zoo.time_range, w zoo.word_range, ws zoo."Words", f zoo.float_range, p zoo.pair_range
);
insert into zoo.ranges values
    (1, 'empty', 'empty', 'empty', 'empty', 'empty', 'empty', '{}', '{}', '{}', 'empty', 'empty', '{}', 'empty', 'empty'),
    (2, '(,)', '(,)', '(,)', '(,)', '(,)', '(,)', '{(,)}', '{(,)}', '{(,)}', '(,)', '(,)', '{(,)}', '(,)', '(,)'),
    (3, '[1,5]', '(1,)', '[1.0,1.00]', '[infinity,infinity]', '[-infinity,infinity)', '(2000-01-01 00:00+02,infinity]', '{[1,2),[5,9)}', '{[NaN,NaN]}',
        '{[2000-01-01,2000-02-01)}', '[00:00,24:00]', E'["","it''s \\"q\\" \\\\ ,(]")', '{["a","b"),["c","d")}', '[-0,NaN]', '["(1,a)","(2,)")'),
    (4, null, null, null, null, null, null, null, null, null, null, null, null, null, null);

create table zoo.network (id integer primary key, i inet, c cidr, m macaddr, m8 macaddr8, u uuid);
insert into zoo.network values
    (1, '192.168.0.1', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '00000000-0000-0000-0000-000000000000'),
    (2, '192.168.0.1/24', '2001:db8::/32', 'ffffffffffff', '08002b010203', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
    (3, '::ffff:1.2.3.4/128', '0.0.0.0/0', null, null, null), (4, '::1', '::/0', null, null, null);

create table zoo.shapes (id integer primary key, p point, l line, s lseg, b box, open path, closed path, g polygon, c circle);
insert into zoo.shapes values
    (1, '(1,2)', '{1,-1,0}', '[(0,0),(1,1)]', '(0,0),(1,1)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '((0,0),(1,1),(2,0))', '<(0,0),1>'),
    (2, '(NaN,-Infinity)', '{0,-1,0}', '[(NaN,0),(Infinity,0)]', '(5,5),(-1,-0.1)', '[(0.1,0.2)]', '((1e300,1e-300))', '((0,0))', '<(1e10,-0),0>'),
    (3, '(-0,0)', null, null, null, null, null, null, null);

create table zoo.searches (id integer primary key, v tsvector, q tsquery);
insert into zoo.searches values
    (1, $$'a':1A,2B,3 'fat''s':4C 'spa ce' 'back\\slash':16383$$, $$'fat''s' & !( 'rat':A* | 'c' ) <3> 'd'$$), (2, '', ''), (3, null, null),
    (4, to_tsvector('english', repeat('The quick brown foxes jumped ', 500)), to_tsquery('english', 'foxes & jumped'));

create table zoo.references (
    id integer primary key, c regclass, t regtype, p regproc, pp regprocedure, o regoper, oo regoperator, r regrole, n regnamespace, l regcollation,
    f regconfig, d regdictionary, lsn pg_lsn, snapshot pg_snapshot, old_snapshot txid_snapshot, x xid, x8 xid8, cmd cid, row_id tid,
    vector int2vector, oids oidvector
);
insert into zoo.references values
    (1, 'zoo.numbers', 'zoo.mood[]', 'zoo.shout', 'zoo.twice(text)', 'zoo.===', 'zoo.===(zoo.pair,zoo.pair)', '"zoo ""o''brien"', '"select"', 'zoo.nocase',
        'zoo.search', 'zoo.stem', 'FFFFFFFF/FFFFFFFF', '10:20:10,14,15', '10:20:10,14,15', '3', '18446744073709551615', '1', '(4294967294,65535)', '1 2 3', '1 4294967295'),
    (2, 'pg_class', 'timestamp with time zone', 'now', 'lower(text)', '!!', '=(integer,integer)', 'pg_monitor', 'pg_catalog', '"C"', 'english', 'simple', '0/0', '1:1:', '1:1:', '0', '0', '0', '(0,1)', '', ''),
    (3, '4000000000', '4000000000', '4000000000', '4000000000', '4000000000', '4000000000', '4000000000', '4000000000', '4000000000', '4000000000', '4000000000', null, null, null, null, null, null, null, null, null),
    (4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, null, null, null, null, null, null, null, null, null);

create table zoo.extended (
    id integer primary key, h zoo_ext.hstore, c public.citext unique, l zoo_ext.ltree, q zoo_ext.lquery, book zoo_ext.isbn, space zoo_ext.cube, part zoo_ext.seg, secret bytea
);
insert into zoo.extended values
    (1, 'a=>1, "b \"q\" \\ ,"=>NULL, ""=>""', 'Straße', 'a.b.c', '*{1,2}.b@|c.*', '0-393-04002-X', '(1,2),(3,4)', '1.0 .. 1.50', public.digest('a', 'sha256')),
    (2, '', 'A', '', null, null, '(0)', '<5.0', null), (3, null, null, null, null, null, null, '~7', null);

-- Values out of line: each storage, each compression, both in one column.
create table zoo.toasted (
    id integer primary key, plain text storage plain, main text storage main, external text storage external, extended text storage extended,
    by_pglz text compression pglz, by_lz4 text compression lz4, mixed text compression pglz
) with (toast_tuple_target = 256, toast.autovacuum_vacuum_threshold = 999);
insert into zoo.toasted select g, repeat('p', 1000), repeat(md5(g::text), 200), repeat(md5(g::text), 200), repeat(md5(g::text), 2000),
    repeat(md5(g::text), 2000), repeat(md5(g::text), 2000), repeat(md5(g::text), 2000) from generate_series(1, 5) g;
alter table zoo.toasted alter mixed set compression lz4;
insert into zoo.toasted (id, mixed) select g, repeat(md5(g::text), 2000) from generate_series(6, 9) g;
alter table zoo.toasted alter extended set statistics 500, alter main set (n_distinct = -0.5, n_distinct_inherited = 7);
comment on table zoo.toasted is E'a table\nof two lines, it''s \\ "toasted" %s';
comment on column zoo.toasted.mixed is 'a column';

-- Which extensions does the database need, and in which version?
select extname as name, extversion as version from pg_extension order by extname

-- Who was here last, from what was just written.
update users set last_login_at = seen.ts
from (select user_id, max(ts) as ts from events where ts > %(start)s group by user_id) seen
where seen.user_id = users.id and (last_login_at is null or last_login_at < seen.ts);

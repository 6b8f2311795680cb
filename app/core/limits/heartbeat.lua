-- A process is alive and keeps its seats. Leases without a heartbeat for an hour are forgotten.
--
-- KEYS  1 alive  sorted set: the last heartbeat of each lease, in microseconds
-- ARGV  1 lease
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, string.format('%.0f', now - 3600000000))
return 0

-- Permits for calls: a start time in the group's pace and a seat of the job, both or nothing.
--
-- KEYS  1 pace:{group}   hash: `next` start that is free, `clock` the latest time seen (both microseconds)
--       2 hold:{group}   hash: `until` (microseconds), `reason`, `every` (microseconds between probes), `strikes`
--       3 seats:{job}    hash: lease -> calls in flight
--       4 alive          sorted set: lease -> when it was last heard of (microseconds)
--       5 why:{job}      string: what the job last waited for
-- ARGV  1 lease  2 starts wanted  3 microseconds between starts, 0: no pace  4 the job's seats, 0: no bound
--       5 seats given back first  6 seats to take with each start (1, or 0 for a call that has its seat)
-- Answers {granted, microseconds until the first start, microseconds to wait if none, reason, probe, mark}
--
-- The clock is Redis's own and never goes back. A start is never granted further ahead than HORIZON, so that
-- a worker that dies with its permits wastes a fifth of a second of the rate. Seats are leases: those of a
-- process that was not heard of for ALIVE are free again.
local HORIZON, ALIVE, POLL = 200000, 15000000, 100000
local lease, want, step = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local seats, given, taking = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local time = redis.call('TIME')
local pace = redis.call('HMGET', KEYS[1], 'next', 'clock')
local now = math.max(time[1] * 1000000 + time[2], tonumber(pace[2]) or 0)
redis.call('ZADD', KEYS[4], now, lease)

if given > 0 and redis.call('HINCRBY', KEYS[3], lease, -given) <= 0 then
  redis.call('HDEL', KEYS[3], lease)
end

local function wait(microseconds, reason)
  redis.call('SET', KEYS[5], reason, 'PX', math.ceil(microseconds / 1000) + 3000)
  return {0, 0, math.ceil(microseconds), reason, 0, '0'}
end

if want <= 0 then return {0, 0, 0, '', 0, '0'} end

local hold = redis.call('HMGET', KEYS[2], 'until', 'reason', 'every')
local probe = 0
if hold[1] then
  if now < tonumber(hold[1]) then return wait(tonumber(hold[1]) - now, hold[2]) end
  want, probe = 1, 1
end

if seats > 0 and taking > 0 then
  local used = 0
  local held = redis.call('HGETALL', KEYS[3])
  for i = 1, #held, 2 do
    local heard = tonumber(redis.call('ZSCORE', KEYS[4], held[i])) or 0
    if now - heard > ALIVE then redis.call('HDEL', KEYS[3], held[i]) else used = used + held[i + 1] end
  end
  if used >= seats then return wait(POLL, 'concurrency') end
  if seats - used < want then
    want = seats - used
    redis.call('SET', KEYS[5], 'concurrency', 'PX', 3000)
  end
end

local start = now
local mark = '0'
if step > 0 then
  start = math.max(tonumber(pace[1]) or 0, now)
  if start - now > HORIZON then return wait(start - now - HORIZON, 'requests') end
  local fits = math.floor((HORIZON - (start - now)) / step) + 1
  if fits < want then
    want = fits
    redis.call('SET', KEYS[5], 'requests', 'PX', 3000)
  end
  mark = string.format('%.0f', start + want * step)
  redis.call('HSET', KEYS[1], 'next', mark, 'clock', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], 180000)
end
if probe == 1 then
  -- One call tries the group; everybody else waits for what it finds.
  redis.call('HSET', KEYS[2], 'until', string.format('%.0f', now + tonumber(hold[3])))
end
if taking > 0 then
  redis.call('HINCRBY', KEYS[3], lease, want)
  redis.call('PEXPIRE', KEYS[3], 7200000)
end
return {want, math.ceil(start - now), 0, '', probe, mark}

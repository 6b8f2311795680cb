-- Charge what answers actually took. Loaded after group.lua.
--
-- KEYS  3 est:{job}
-- ARGV  5 input and 6 output tokens beyond those charged (below 0: fewer)  7 bytes of the requests, 8 input and
--       9 output tokens of 10 answers, and 11 the microseconds they took in total  12 calls that failed
--       13 milliseconds for which calls may read from a cache what these have read; 0: they have read nothing
-- Returns how many of the group's last RING calls failed, or 0 before there were that many.
local FADE = 0.98   -- a call counts half after 34 others
roll()
for kind, more in pairs({i = tonumber(ARGV[5]), o = tonumber(ARGV[6])}) do
  take_of(kind, more, slot)
  pay(kind, more)
end
local calls, failed, reads_for = tonumber(ARGV[10]), tonumber(ARGV[12]), tonumber(ARGV[13])
if calls > 0 then
  local fade = FADE ^ calls
  -- The first reads say more of the calls to come than all that was paid in full before them.
  if reads_for > 0 and redis.call('HEXISTS', KEYS[3], 'reads') == 0 then
    redis.call('DEL', KEYS[3])
    redis.call('HSET', KEYS[3], 'reads', reads_for)
  end
  local old = redis.call('HMGET', KEYS[3], 'bytes', 'input', 'output', 'calls')
  for at, name in ipairs({'bytes', 'input', 'output', 'calls'}) do
    local sum = (tonumber(old[at]) or 0) * fade + ARGV[6 + at]
    redis.call('HSET', KEYS[3], name, string.format('%.3f', sum))
  end
  -- What is no longer read will be paid in full again.
  redis.call('PEXPIRE', KEYS[3], redis.call('HGET', KEYS[3], 'reads') or 7200000)
  local mean = ARGV[11] / calls
  local before = number('latency')
  set('latency', before == 0 and mean or before * fade + mean * (1 - fade))
end
local ended = string.rep('1', math.min(calls, RING)) .. string.rep('0', math.min(failed, RING))
local ring = string.sub((state.ring or '') .. ended, -RING)
set('ring', ring)
save()
if #ring < RING then return 0 end
local _, failures = string.gsub(ring, '0', '')
return failures

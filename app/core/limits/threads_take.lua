-- Threads of slice workers for the slices of a window: as many as its tenant and its job may have now.
--
-- KEYS  1 threads   hash of slices that are offered and have not ended: `all`; t{tenant}; j{job};
--                   w{window}:{epoch}: "slices tenant job", the parts of those sums
--       2 waiting   sorted set: tenant -> when one of its jobs was last put off, in milliseconds
-- ARGV  1 window  2 epoch  3 tenant  4 job  5 threads of all living workers
--       6 slices if all of them may be had, 0: no such wish  7 slices otherwise, at most
--       8 whether the job comes from the line of those that wait
--       9 milliseconds for which a tenant that was put off counts as waiting
-- Returns {slices granted, whether they are all of ARGV 6}; 0: put the job in the line.
--
-- A tenant may hold four times as many threads as it leaves free, and of what it may still have, a job the same:
-- alone a tenant gets four fifths, of two each gets four ninths, and whoever comes next finds some free. They
-- cannot be taken back from a slice whose calls last ten minutes, so they are kept free beforehand. (Choudhury and
-- Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998, with alpha = 4.)
local SHARE = 4
local tenant, job = 't' .. ARGV[3], 'j' .. ARGV[4]
local capacity, whole, fewer = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local function held(name) return tonumber(redis.call('HGET', KEYS[1], name)) or 0 end

local function may_have(free, has)
  local more = math.floor((SHARE * free - has) / (1 + SHARE))
  if more < 1 and has + 1 <= SHARE * free then more = 1 end
  return math.max(more, 0)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local put_off_at = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[3])) or 0
local granted, all = 0, 0
if ARGV[8] == '1' or now - put_off_at > tonumber(ARGV[9]) then
  local free, mine = math.max(capacity - held('all'), 0), held(tenant)
  local more = may_have(free, mine)
  -- A small job of a tenant that holds nothing may go at once and whole, though it leaves but a sixteenth.
  if whole > 0 and (whole <= more or (mine == 0 and whole <= free - math.ceil(capacity / 16))) then
    granted, all = whole, 1
  else
    granted = math.min(fewer, may_have(more, held(job)))
  end
end

if granted == 0 then
  redis.call('ZADD', KEYS[2], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[9])
else
  redis.call('HSET', KEYS[1], 'w' .. ARGV[1] .. ':' .. ARGV[2], table.concat({granted, ARGV[3], ARGV[4]}, ' '))
  for _, name in ipairs({'all', tenant, job}) do redis.call('HINCRBY', KEYS[1], name, granted) end
end
return {granted, all}

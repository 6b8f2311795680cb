-- Threads of slice workers for the slices of a window: as many as its tenant and its job may have now.
--
-- KEYS  as in threads.lua
-- ARGV  1 window  2 epoch  3 tenant  4 job  5 threads of all living workers
--       6 slices if all of them may be had, 0: no such wish  7 slices otherwise, at most
--       8 whether the job comes from the line of those that wait
--       9 milliseconds for which a tenant that was put off counts as waiting
--       10 tasks of the window's chord if it has one for each record, otherwise 0: only the slices granted now
-- Returns {slices granted, whether they are all of ARGV 6}; 0: put the job in the line.
local tenant, job = 't' .. ARGV[3], 'j' .. ARGV[4]
local capacity, whole, fewer = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local tasks = tonumber(ARGV[10])

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
  local numbers = {0, tonumber(ARGV[3]), tonumber(ARGV[4])}
  if tasks > granted then numbers = {0, numbers[2], numbers[3], tasks - granted, fewer, tonumber(time[1])} end
  count(numbers, granted)
end
return {granted, all}

-- Hold a limit group: none of its calls leaves before a given time, then one probe at a time, until one succeeds.
--
-- KEYS  1 hold:{group}
-- ARGV  1 seconds, 0: by the strikes so far (1, 2, 4 … 60, jittered)  2 reason  3 seconds between probes, 0: as 1
--       4 whether the refused call was a probe  5 the reason in a sentence, as JSON (`Obstacle`), or nothing
-- Returns the microseconds until the hold ends.
--
-- A probe's refusal is the next strike. Refusals of calls that were in flight when the hold began extend it only
-- if the provider gave a time.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = redis.call('HMGET', KEYS[1], 'until', 'strikes', 'probing')
local ends, strikes = tonumber(held[1]) or 0, tonumber(held[2]) or 0
-- The probe is over: that the others waited for it, as long as an earlier refusal said, is no reason to go on.
if ARGV[4] == '1' and held[1] == held[3] then ends = 0 end
local seconds = tonumber(ARGV[1])
if seconds == 0 then
  if ends > now and ARGV[4] ~= '1' then return ends - now end
  strikes = strikes + 1
  seconds = math.min(60, 2 ^ (strikes - 1)) * (0.75 + 0.5 * (time[2] % 1000) / 1000)
end
local every = tonumber(ARGV[3])
if every == 0 then every = math.max(seconds, 1) end
ends = math.max(ends, now + seconds * 1000000)
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', ends), 'reason', ARGV[2], 'detail', ARGV[5],
  'every', string.format('%.0f', every * 1000000), 'strikes', strikes)
redis.call('PEXPIRE', KEYS[1], math.ceil((ends - now) / 1000) + 86400000)
return math.ceil(ends - now)

-- Give back permits of which no byte was sent: seats, tokens and starts, which others may use at their times.
-- Loaded after group.lua.
--
-- KEYS  3 seats:{job}  4 seats:{group}  5 spare:{group}  sorted set: starts that were given back
-- ARGV  5 lease  6 permits  7 the grant's mark  8 input and 9 output tokens charged for each
--       10 microseconds between the grant's starts, 0 for those that left at once  11 the slot it was taken in
--       12 seats to give back; 0: the records keep them and take other starts, as it was too late for these, which
--       are not the grant's last: the pace goes on
local count, seats = tonumber(ARGV[6]), tonumber(ARGV[12])
roll()
for _, key in ipairs(seats > 0 and {KEYS[3], KEYS[4]} or {}) do
  if redis.call('HINCRBY', key, ARGV[5], -seats) <= 0 then redis.call('HDEL', key, ARGV[5]) end
end
local step, at = tonumber(ARGV[10]), tonumber(ARGV[11])
if at < number('seeded') then count = 0 end   -- Redis was emptied since: it never counted them
take_of('r', -count, at)
take_of('i', -count * ARGV[8], at)
take_of('o', -count * ARGV[9], at)
pay('i', -count * ARGV[8])
pay('o', -count * ARGV[9])
if limit.r > 0 and count > 0 and (seats > 0 or step == 0) then
  if state.pr == ARGV[7] then
    set('pr', number('pr') - count * span('r', 1))
  elseif step > 0 then
    for place = 0, count - 1 do
      local start = string.format('%.0f', ARGV[7] - span('r', 1) - place * step)
      redis.call('ZADD', KEYS[5], start, start)
    end
    redis.call('PEXPIRE', KEYS[5], 5000)
  end
end
save()
return 0

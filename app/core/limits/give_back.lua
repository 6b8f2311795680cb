-- Give back permits of which no byte was sent: seats, tokens and starts, which others may use at their times.
-- Loaded after group.lua.
--
-- KEYS  3 seats:{job}  4 seats:{group}  5 spare:{group}  sorted set: starts that were given back
-- ARGV  5 lease  6 permits  7 the grant's mark  8 input and 9 output tokens charged for each
--       10 microseconds between the grant's starts
local count = tonumber(ARGV[6])
roll()
for _, key in ipairs({KEYS[3], KEYS[4]}) do
  if redis.call('HINCRBY', key, ARGV[5], -count) <= 0 then redis.call('HDEL', key, ARGV[5]) end
end
take_of('r', -count)
take_of('i', -count * ARGV[8])
take_of('o', -count * ARGV[9])
pay('i', -count * ARGV[8])
pay('o', -count * ARGV[9])
if limit.r > 0 then
  if state.pr == ARGV[7] then
    set('pr', number('pr') - count * span('r', 1))
  else
    for place = 0, count - 1 do
      local start = string.format('%.0f', ARGV[7] - span('r', 1) - place * ARGV[10])
      redis.call('ZADD', KEYS[5], start, start)
    end
    redis.call('PEXPIRE', KEYS[5], 5000)
  end
end
save()
return 0

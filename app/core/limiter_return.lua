-- Give back permits of which no byte was sent: seats and tokens always, starts if nobody took later ones.
-- Behind limiter_group.lua.
--
-- KEYS  3 seats:{job}  4 seats:{group}
-- ARGV  5 lease  6 permits  7 the grant's mark  8 input and 9 output tokens charged for each  10 seats with each
local count = tonumber(ARGV[6])
roll()
if tonumber(ARGV[10]) > 0 then
  for _, key in ipairs({KEYS[3], KEYS[4]}) do
    if redis.call('HINCRBY', key, ARGV[5], -count) <= 0 then redis.call('HDEL', key, ARGV[5]) end
  end
end
take_of('r', -count)
take_of('i', -count * ARGV[8])
take_of('o', -count * ARGV[9])
pay('i', -count * ARGV[8])
pay('o', -count * ARGV[9])
if limit.r > 0 and state.pr == ARGV[7] then
  -- A start between two that others hold would be a burst; the last ones of the row are safe to hand on.
  set('pr', number('pr') - count * span('r', 1))
end
save()
return 0

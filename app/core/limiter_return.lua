-- Give back permits of which no byte was sent: the seats always, the starts if nobody took later ones.
--
-- KEYS  1 pace:{group}  2 seats:{job}
-- ARGV  1 lease  2 permits  3 microseconds between starts  4 the grant's mark
local count = tonumber(ARGV[2])
if redis.call('HINCRBY', KEYS[2], ARGV[1], -count) <= 0 then redis.call('HDEL', KEYS[2], ARGV[1]) end
if ARGV[4] ~= '0' and redis.call('HGET', KEYS[1], 'next') == ARGV[4] then
  -- A start between two that others hold would be a burst; the last ones of the row are safe to hand on.
  redis.call('HSET', KEYS[1], 'next', string.format('%.0f', tonumber(ARGV[4]) - count * tonumber(ARGV[3])))
end
return 0

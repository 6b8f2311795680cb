-- The state of a limit group, for people. Loaded after group.lua.
--
-- KEYS  3 asking:{group}  4 seats:{group}  5 alive
-- Returns {requests, input and output tokens taken within the window, calls in flight, mean microseconds of a
-- call, share that a ramp limit leaves, the waiting jobs}
roll()
local flying, held = 0, redis.call('HGETALL', KEYS[4])
for at = 1, #held, 2 do
  local heard = tonumber(redis.call('ZSCORE', KEYS[5], held[at])) or 0
  if now - heard <= ALIVE then flying = flying + held[at + 1] end
end
save()
return {
  math.floor(number('tr') + 0.5), math.floor(number('ti') + 0.5), math.floor(number('to') + 0.5), flying,
  math.floor(number('latency')), string.format('%.3f', ramp()),
  redis.call('ZRANGEBYSCORE', KEYS[3], now - PLACE, '+inf'),
}

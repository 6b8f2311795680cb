-- Add what a process has counted to what all have, once, however often it is sent.
--
-- KEYS  1 counts: field -> number  2 the number of the last delivery of this process
-- ARGV  1 the number of this delivery  2 seconds to remember it  3, 4 field, amount  5, 6 field, amount …
--
-- A process sends a delivery again when it got no answer: Redis may have taken the first, or take it later.
local last = redis.call('GET', KEYS[2])
if last and tonumber(last) >= tonumber(ARGV[1]) then return end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
for place = 3, #ARGV, 2 do
  redis.call('HINCRBYFLOAT', KEYS[1], ARGV[place], ARGV[place + 1])
end

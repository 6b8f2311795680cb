-- Slices of a window have ended, or are known never to run.
--
-- KEYS  1 threads, as in threads_take.lua
-- ARGV  1 window  2 epoch  3 how many slices, 0: all of them
local field = 'w' .. ARGV[1] .. ':' .. ARGV[2]
local found = redis.call('HGET', KEYS[1], field)
if not found then return 0 end
local slices, tenant, job = string.match(found, '(%d+) (%d+) (%d+)')
slices = tonumber(slices)
local gone = tonumber(ARGV[3])
if gone == 0 or gone > slices then gone = slices end
for _, name in ipairs({'all', 't' .. tenant, 'j' .. job}) do
  if redis.call('HINCRBY', KEYS[1], name, -gone) <= 0 then redis.call('HDEL', KEYS[1], name) end
end
if gone == slices then
  redis.call('HDEL', KEYS[1], field)
else
  redis.call('HSET', KEYS[1], field, table.concat({slices - gone, tenant, job}, ' '))
end
return gone

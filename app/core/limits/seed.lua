-- Tell a group what the rows know of its last window, once: Redis may have been emptied. Loaded after group.lua.
--
-- ARGV  5 … for each moment, oldest first: its age in microseconds, and the requests, input tokens and output
--       tokens that were taken then
-- Returns whether it was not told before.
if state.seeded then return 0 end
redis.call('DEL', KEYS[2])   -- what was settled, or counted by a release that did not seed: the rows know it
for _, kind in ipairs({'r', 'i', 'o'}) do set('t' .. kind, 0) end
roll()
for at = 5, #ARGV, 4 do
  local time = now - ARGV[at]
  local taken = {r = tonumber(ARGV[at + 1]), i = tonumber(ARGV[at + 2]), o = tonumber(ARGV[at + 3])}
  for kind, amount in pairs(taken) do
    if limit[kind] > 0 then set('p' .. kind, math.max(number('p' .. kind), time) + span(kind, amount)) end
    take_of(kind, amount, math.floor(time / (window / SLOTS)))
  end
end
set('seeded', string.format('%.0f', slot))
save()
return 1

-- Slices of a window have ended, or are known never to run.
--
-- KEYS  as in threads.lua
-- ARGV  1 window  2 epoch  3 how many slices, 0: all of them
local numbers = read()
if #numbers == 0 then return 0 end
local gone = tonumber(ARGV[3])
if gone == 0 or gone > numbers[1] then gone = numbers[1] end
count(numbers, -gone)
return gone

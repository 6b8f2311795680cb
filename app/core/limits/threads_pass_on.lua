-- A task of a chord with a task for each record has ended: how many more of them are sent now.
--
-- KEYS  as in threads.lua
-- ARGV  1 window  2 epoch  3 whether the task has asked its record  4 threads of all living workers
-- Returns the tasks to send, which have their threads: none when all are sent. Where other jobs wait, the window
-- gives its threads to them, all but one, and after a minute the last one as well; where none does, it takes as
-- many as it may have.
local TURN = 60 -- seconds

local numbers = read()
if #numbers == 0 then return 0 end
local slices, tenant, job, unsent, width, since = unpack(numbers)
local send = 0
if unsent and ARGV[3] == '0' then
  numbers[4] = unsent + 1 -- another task asks a record in its place
elseif unsent and unsent > 0 then
  if redis.call('EXISTS', KEYS[2]) == 0 then
    local free = math.max(tonumber(ARGV[4]) - held('all'), 0)
    local more = may_have(may_have(free, held('t' .. tenant)), held('j' .. job))
    send = 1 + math.max(math.min(more, width - slices, unsent - 1), 0)
  elseif slices == 1 and redis.call('TIME')[1] - since < TURN then
    send = 1
  end
  numbers[4] = unsent - send
end
count(numbers, send - 1)
return send

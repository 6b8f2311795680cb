-- Shared by the scripts about the threads of slice workers. Prepended to each of them.
--
-- KEYS  1 threads   hash of slices that are offered and have not ended: `all`; t{tenant}; j{job};
--                   w{window}:{epoch}: "slices tenant job", the parts of those sums, and behind them, if the
--                   window's chord has a task for each record: its tasks that were not sent yet, how many of
--                   its threads it may hold at once, and the second in which the first tasks were sent
--       2 waiting   sorted set: tenant -> when one of its jobs was last put off, in milliseconds
-- ARGV  1 window  2 epoch
--
-- A tenant may hold four times as many threads as it leaves free, and of what it may still have, a job the same:
-- alone a tenant gets four fifths, of two each gets four ninths, and whoever comes next finds some free. They
-- cannot be taken back from a slice whose calls last ten minutes, so they are kept free beforehand. (Choudhury and
-- Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998, with alpha = 4.)
local SHARE = 4
local FIELD = 'w' .. ARGV[1] .. ':' .. ARGV[2]

local function held(name) return tonumber(redis.call('HGET', KEYS[1], name)) or 0 end

local function may_have(free, has)
  local more = math.floor((SHARE * free - has) / (1 + SHARE))
  if more < 1 and has + 1 <= SHARE * free then more = 1 end
  return math.max(more, 0)
end

-- The numbers of the window: slices, tenant, job, and unsent, width and since, which may be missing.
local function read()
  local numbers = {}
  for number in string.gmatch(redis.call('HGET', KEYS[1], FIELD) or '', '-?%d+') do
    table.insert(numbers, tonumber(number))
  end
  return numbers
end

-- Count `more` slices of the window (fewer, if negative), and store its numbers.
local function count(numbers, more)
  numbers[1] = numbers[1] + more
  for _, name in ipairs({'all', 't' .. numbers[2], 'j' .. numbers[3]}) do
    if redis.call('HINCRBY', KEYS[1], name, more) <= 0 then redis.call('HDEL', KEYS[1], name) end
  end
  if numbers[1] > 0 then
    redis.call('HSET', KEYS[1], FIELD, table.concat(numbers, ' '))
  else
    redis.call('HDEL', KEYS[1], FIELD)
  end
end


-- Shared by the scripts of a limit group: its clock, its limits and its accounting. Prepended to each of them.
--
-- KEYS  1 limit:{group}   hash, this group's state:
--                           clock              the latest time seen
--                           pr pi po           when the requests, input tokens and output tokens taken are paid
--                                              for at the limit's rate: the next paced request starts then
--                           cr                 the limit of requests last seen
--                           seeded             the slot of time in which the calls of the last window were read
--                                              from the rows: nothing leaves before, as Redis may have been emptied
--                           tr ti to  tail     taken within the window, and the oldest slot that counts
--                           ci fi ai  co …     the limit last seen; while it falls: from what value, since when
--                           ramp  ramp_at      the share of the rate that a ramp limit leaves, and since when
--                           latency            of its calls, a running mean (microseconds)
--                           ring               how its last RING calls ended: 1 answered, 0 failed
--       2 used:{group}    hash: slot of time -> taken in it, for requests, input and output
-- ARGV  1 microseconds of the window (a minute in production)  2 requests  3 input tokens  4 output tokens that
--       may be taken in it; 0: no limit
--
-- All times are microseconds of Redis's own clock, which never goes back here.
local SLOTS = 120          -- of a window; what is taken counts for one slot longer than the window
local USED = 0.99          -- share of each limit that is used: the rest covers late calls and rounding
local CREDIT = 1 / 60      -- of a window: how much unused time of its token rate a group may catch up on
local RAMP = 2             -- windows in which a rate climbs from zero to the whole limit
local RING = 20            -- calls whose outcomes are remembered
local ALIVE = 15000000     -- for so long after its last heartbeat a process keeps its seats
local PLACE = 1000000      -- a job that does not ask again for so long loses its place

local window = tonumber(ARGV[1])
local limit = {r = tonumber(ARGV[2]), i = tonumber(ARGV[3]), o = tonumber(ARGV[4])}

local state = {}
do
  local all = redis.call('HGETALL', KEYS[1])
  for at = 1, #all, 2 do state[all[at]] = all[at + 1] end
end
local changed = {}
local function number(name) return tonumber(state[name]) or 0 end
local function set(name, value)
  if type(value) == 'number' then value = string.format('%.3f', value) end
  state[name] = value
  changed[name] = value
end

local time = redis.call('TIME')
local now = math.max(time[1] * 1000000 + time[2], number('clock'))
set('clock', now)

local slot = math.floor(now / (window / SLOTS))

-- Forget what was taken longer than a window ago; the slot that was forgotten last is kept for `unused`.
local function roll()
  local tail = tonumber(state.tail) or slot
  if slot - tail > 2 * SLOTS then
    redis.call('DEL', KEYS[2])
    set('tr', 0) set('ti', 0) set('to', 0)
    tail = slot
  end
  while tail < slot - SLOTS do
    for _, kind in ipairs({'r', 'i', 'o'}) do
      local taken = redis.call('HGET', KEYS[2], kind .. tail)
      if taken then set('t' .. kind, number('t' .. kind) - taken) end
      redis.call('HDEL', KEYS[2], kind .. (tail - 1))
    end
    tail = tail + 1
  end
  set('tail', string.format('%.0f', tail))
end

-- Record that `amount` of one kind was taken in slot `at` (below 0: was given back).
local function take_of(kind, amount, at)
  if amount == 0 or at < slot - SLOTS - 1 then return end
  redis.call('HINCRBYFLOAT', KEYS[2], kind .. string.format('%.0f', at), amount)
  if at >= slot - SLOTS then set('t' .. kind, number('t' .. kind) + amount) end
end

-- The share of the limits that a ramp limit leaves.
local function ramp()
  if not state.ramp then return 1 end
  return math.min(1, number('ramp') + (now - number('ramp_at')) / (RAMP * window))
end

-- Microseconds of the group's rate that `amount` of a kind takes up.
local function span(kind, amount)
  if limit[kind] == 0 then return 0 end
  return amount * window / (USED * limit[kind] * ramp())
end

-- Tokens of a kind that may still be taken: a lowered limit falls over one window, as tokens taken under the old
-- limit leave it; the pace is that of the new limit at once.
local function room(kind)
  local most, seen = limit[kind], number('c' .. kind)
  local from, since = number('f' .. kind), number('a' .. kind)
  local function ceiling(towards)
    return towards + math.max(0, from - towards) * math.max(0, 1 - (now - since) / window)
  end
  if most ~= seen then
    local before = ceiling(seen)
    if seen > 0 and before > most then from, since = before, now else from, since = 0, 0 end
    set('f' .. kind, from) set('a' .. kind, since) set('c' .. kind, most)
  end
  return ceiling(most) - number('t' .. kind)
end

-- Advance the time until which tokens are paid for.
local function pay(kind, amount)
  if limit[kind] == 0 then return end
  local paid = math.max(number('p' .. kind), now - CREDIT * window)
  -- A new group, or one that Redis has lost, has no credit.
  if not state['p' .. kind] then paid = now end
  set('p' .. kind, paid + span(kind, amount))
end

local function save()
  local fields = {}
  for name, value in pairs(changed) do fields[#fields + 1] = name; fields[#fields + 1] = value end
  redis.call('HSET', KEYS[1], unpack(fields))
  redis.call('PEXPIRE', KEYS[1], math.ceil(window * 3 / 1000) + 86400000)
  redis.call('PEXPIRE', KEYS[2], math.ceil(window * 3 / 1000))
end

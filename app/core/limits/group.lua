-- What the scripts of a limit group share: its clock, its figures and its books. Put before each of them.
--
-- KEYS  1 limit:{group}   hash, this group's state:
--                           clock              the latest time seen
--                           pr pi po           when the next request may start; when what was taken of input and
--                                              of output tokens is paid for at the limit's rate
--                           tr ti to  tail     taken within the window, and the oldest slot that counts
--                           ci fi ai  co …     the limit last seen; while it sinks: from where, since when
--                           ramp  ramp_at      the share of the rate that a ramp limit has left, and since when
--                           latency            of its calls, a running mean (microseconds)
--                           ring               how its last RING calls ended: 1 answered, 0 failed
--       2 used:{group}    hash: slot of time -> taken in it, for requests, input and output
-- ARGV  1 microseconds of the window (a minute in production)  2 requests  3 input tokens  4 output tokens that
--       may be taken in it; 0: no limit
--
-- All times are microseconds of Redis's own clock, which here never goes back.
local SLOTS = 120          -- of a window; what is taken counts for one slot longer than the window
local USED = 0.99          -- of each limit: the rest pays for calls that leave late and for rounding
local CREDIT = 1 / 60      -- of a window: how much unspent time of its token rate a group may catch up with
local RAMP = 2             -- windows in which a rate climbs from nothing to the whole limit
local RING = 20            -- calls whose ends are remembered
local ALIVE = 15000000     -- since a process was last heard of: for so long its seats are its own
local PLACE = 1000000      -- a job that does not ask again for so long is not waited for

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

-- Forget what was taken longer than a window ago.
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
      if taken then
        set('t' .. kind, number('t' .. kind) - taken)
        redis.call('HDEL', KEYS[2], kind .. tail)
      end
    end
    tail = tail + 1
  end
  set('tail', string.format('%.0f', tail))
end

-- Write down that `amount` was taken (or was not, below 0) of one kind.
local function take_of(kind, amount)
  if amount == 0 then return end
  redis.call('HINCRBYFLOAT', KEYS[2], kind .. slot, amount)
  set('t' .. kind, number('t' .. kind) + amount)
end

-- The share of the limits that a ramp limit leaves.
local function ramp()
  if not state.ramp then return 1 end
  return math.min(1, number('ramp') + (now - number('ramp_at')) / (RAMP * window))
end

-- Microseconds of the group's rate that `amount` of a kind takes.
local function span(kind, amount)
  if limit[kind] == 0 then return 0 end
  return amount * window / (USED * limit[kind] * ramp())
end

-- Tokens of a kind that may still be taken: a limit that was lowered sinks over a window, as what was taken
-- under the old one leaves it; its pace is the new one at once.
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

-- Move the time until which tokens are paid for.
local function pay(kind, amount)
  if limit[kind] == 0 then return end
  local paid = math.max(number('p' .. kind), now - CREDIT * window)
  -- A group that was just made, or that Redis forgot, has no credit.
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

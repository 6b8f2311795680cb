-- Permits for calls: requests, input tokens, output tokens and seats together, all or nothing, and which job gets
-- them next. Loaded after group.lua.
--
-- KEYS  3 hold:{group}    hash: `until`, `reason`, `detail`, `every` (microseconds between probes), `strikes`
--       4 fair:{group}    hash, for each job j: j: service, w: weight, o: tenant, n: favoured, a: waiting askers,
--                         u: unended records, l: calls that may yet leave at once; for each tenant t: service,
--                         nt: favoured; bf bu: service of the favoured and the others
--       5 asking:{group}  sorted set: job -> when it last asked
--       6 seats:{job}     hash: lease -> calls in flight          7 seats:{group}  the same, of all its jobs
--       8 alive           sorted set: lease -> its last heartbeat
--       9 why:{job}       string: what the job last waited for
--      10 est:{job}       hash: bytes, tokens and calls of its answers, fading
--      11 spare:{group}   sorted set: starts that were granted and given back unused
-- ARGV  5 lease  6 job  7 tenant  8 weight  9 starts wanted  10 seats given back first
--      11 seats to take with each start (1, or 0 for a call that has its seat)  12 this asker counts as waiting
--      13 the group's seats  14 the job's seats (0: no bound)  15 bytes of a request  16 tokens per byte and
--      17 output tokens until the job has answers of its own  18 max_tokens
-- Returns {granted, microseconds until the first start, microseconds between starts, microseconds to wait if fewer
-- than wanted were granted, reason, probe, mark, input tokens and output tokens charged for each, counts as
-- waiting, estimated input tokens of a call}
--
-- A start is never granted further ahead than HORIZON, so a worker that dies with its permits wastes a fifth of a
-- second of the rate. Seats are leases: those of a process without a heartbeat for ALIVE are free again.
local HORIZON, POLL = 200000, 100000
local LONGEST = 500000   -- the longest wait
local lease, job, tenant, weight = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local want, given, taking, waited = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local group_seats, job_seats = tonumber(ARGV[13]), tonumber(ARGV[14])
local unended, may_burst = tonumber(ARGV[19]), ARGV[20] == '1'

redis.call('ZADD', KEYS[8], now, lease)
local function give_seats(count)
  for _, key in ipairs({KEYS[6], KEYS[7]}) do
    if redis.call('HINCRBY', key, lease, -count) <= 0 then redis.call('HDEL', key, lease) end
  end
end
if given > 0 then give_seats(given) end

-- --- the jobs that wait

local function leave()
  redis.call('ZREM', KEYS[5], job)
  redis.call('HDEL', KEYS[4], 'a' .. job)
end

-- Count the waiting askers of this job; without any the job is not asking.
local function count_waiting(still)
  local waiting = redis.call('HINCRBY', KEYS[4], 'a' .. job, still - waited)
  if waiting <= 0 then leave() else redis.call('ZADD', KEYS[5], now, job) end
  return waiting
end

local function why(reason, milliseconds) redis.call('SET', KEYS[9], reason, 'PX', milliseconds) end

local function refuse(microseconds, reason, counts)
  why(reason, math.ceil(microseconds / 1000) + 3000)
  save()
  return {0, 0, 0, math.ceil(microseconds), reason, 0, '0', 0, 0, counts, 0, 0, 0}
end

if want <= 0 then
  if waited > 0 then count_waiting(0) end
  save()
  return {0, 0, 0, 0, '', 0, '0', 0, 0, 0, 0, 0, 0}
end

if not state.seeded and (limit.r > 0 or limit.i > 0 or limit.o > 0) then
  return {-1, 0, 0, 0, '', 0, '0', 0, 0, waited, 0, 0, 0}
end

-- --- holds

local hold = redis.call('HMGET', KEYS[3], 'until', 'reason', 'every')
local probe = 0
if hold[1] then
  if now < tonumber(hold[1]) then
    leave()
    return refuse(tonumber(hold[1]) - now, hold[2], 0)
  end
  want, probe = 1, 1
end

-- --- what one call takes

local est = redis.call('HMGET', KEYS[10], 'bytes', 'input', 'output', 'calls')
local per_byte, output = tonumber(ARGV[16]), tonumber(ARGV[17])
local has_answers = (tonumber(est[4]) or 0) > 0 and tonumber(est[1]) > 0
if has_answers then
  per_byte, output = est[2] / est[1], est[3] / est[4]
end
local tokens = {
  i = math.max(1, math.ceil(ARGV[15] * per_byte)),
  o = math.max(1, math.ceil(math.min(output, tonumber(ARGV[18])))),
}
local estimate = tokens.i
-- A call larger than a whole window allows can only be tried by itself; the caller ends what can never fit.
for kind, amount in pairs(tokens) do
  if limit[kind] > 0 and amount > limit[kind] then tokens[kind] = limit[kind] end
end

-- A raised limit makes what was taken pay for less time.
if limit.r ~= number('cr') then
  if limit.r > number('cr') and number('cr') > 0 and number('pr') > now then
    set('pr', now + (number('pr') - now) * number('cr') / limit.r)
  end
  set('cr', limit.r)
end

local spans = {r = span('r', 1), i = span('i', tokens.i), o = span('o', tokens.o)}
local each = math.max(spans.r, spans.i, spans.o)   -- microseconds of the group's rate that a call takes up
local tightest = 'requests'
if spans.i > spans.r and spans.i >= spans.o then tightest = 'input_tokens' end
if spans.o > spans.r and spans.o > spans.i then tightest = 'output_tokens' end

-- --- seats

local function taken_of(key)
  local used, held = 0, redis.call('HGETALL', key)
  for at = 1, #held, 2 do
    local heard = tonumber(redis.call('ZSCORE', KEYS[8], held[at])) or 0
    if now - heard > ALIVE then redis.call('HDEL', key, held[at]) else used = used + held[at + 1] end
  end
  return used
end

-- How many calls at once would use up the limit: Little's law, plus a tenth for calls that take longer.
local function concurrency(seats)
  if each == 0 or number('latency') == 0 then return 'concurrency' end
  local enough = math.max(math.ceil(1.1 * number('latency') / each) + 1, seats + 1)
  return string.format('concurrency: %d calls at a time, %d would use the limit', seats, enough)
end

if taking > 0 then
  for _, seats in ipairs({{KEYS[6], job_seats}, {KEYS[7], group_seats}}) do
    if seats[2] > 0 then
      local free = seats[2] - taken_of(seats[1])
      if free <= 0 then
        leave()
        return refuse(POLL, concurrency(seats[2]), 0)
      end
      if free < want then
        want = free
        why(concurrency(seats[2]), 3000)
      end
    end
  end
end

-- --- whose turn it is: the tenant, then the job, with the least service relative to its weight

local minute = window / 1000000
local fair = {}
local function load_fair()
  local all = redis.call('HGETALL', KEYS[4])
  for at = 1, #all, 2 do fair[all[at]] = all[at + 1] end
end
local function value(name) return tonumber(fair[name]) or 0 end
local function put(name, amount)
  fair[name] = string.format('%.9f', amount)
  redis.call('HSET', KEYS[4], name, fair[name])
end
local function drop(name)
  if fair[name] then fair[name] = nil redis.call('HDEL', KEYS[4], name) end
end

-- Service fades over ten windows.
local function fade()
  local since = tonumber(fair.faded)
  if since and now - since < window / 6 then return end
  if since then
    local factor = math.exp((since - now) / (10 * window))
    for name in pairs(fair) do
      local kind, id = string.sub(name, 1, 1), string.sub(name, 2)
      if kind == 'j' or kind == 't' then
        local left = value(name) * factor
        if math.abs(left) < 0.01 and not (kind == 'j' and redis.call('ZSCORE', KEYS[5], id)) then
          drop(name)
          if kind == 'j' then for _, of in ipairs({'w', 'o', 'n', 'a', 'u', 'l'}) do drop(of .. id) end end
        else
          put(name, left)
        end
      end
    end
  end
  put('faded', now)
end

local function asking()
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], 0, now - PLACE)) do
    redis.call('ZREM', KEYS[5], gone)
    drop('a' .. gone)
  end
  return redis.call('ZRANGE', KEYS[5], 0, -1)
end

-- A newcomer starts one window's share below the least service of those present, and never above its own.
local function join(others)
  local tenants, siblings, weights, least_tenant, least_job = {}, 0, weight, nil, nil
  local count = 1
  for _, other in ipairs(others) do
    local owner = fair['o' .. other]
    if owner == tenant then
      siblings = siblings + 1
      weights = weights + value('w' .. other)
      local key = value('j' .. other) / value('w' .. other)
      if not least_job or key < least_job then least_job = key end
    elseif not tenants[owner] then
      tenants[owner] = true
      count = count + 1
      local key = value('t' .. owner)
      if not least_tenant or key < least_tenant then least_tenant = key end
    end
  end
  if siblings == 0 and least_tenant then
    local start = least_tenant - minute / count
    if not fair['t' .. tenant] or value('t' .. tenant) < start then put('t' .. tenant, start) end
    if value('t' .. tenant) < least_tenant then put('nt' .. tenant, 1) end
  end
  if least_job then
    local start = (least_job - minute / weights) * weight
    if not fair['j' .. job] or value('j' .. job) < start then put('j' .. job, start) end
    if value('j' .. job) / weight < least_job then put('n' .. job, 1) end
  end
end

-- The name with the least key; but a fifth of all grants goes to those that are not favoured newcomers.
local function choose(names, key_of, flag, level)
  local least, least_other
  for _, name in ipairs(names) do
    if not fair[flag .. name] and (not least_other or key_of(name) < key_of(least_other)) then
      least_other = name
    end
  end
  for _, name in ipairs(names) do
    if fair[flag .. name] and (not least_other or key_of(name) >= key_of(least_other)) then
      drop(flag .. name)
    end
    if not least or key_of(name) < key_of(least) then least = name end
  end
  if not least_other or not fair[flag .. least] then
    drop('bf' .. level) drop('bu' .. level)
    return least, nil
  end
  if 4 * value('bu' .. level) + 4 * each / 1000000 <= value('bf' .. level) then
    return least_other, 'bu' .. level
  end
  return least, 'bf' .. level
end

local ledgers = {}   -- counters of favour that a grant to this job moves
local function is_our_turn(others)
  local tenants, seen, jobs = {}, {}, {}
  for _, other in ipairs(others) do
    local owner = fair['o' .. other]
    if not seen[owner] then seen[owner] = true tenants[#tenants + 1] = owner end
  end
  if not seen[tenant] then tenants[#tenants + 1] = tenant end
  local first, ledger = choose(tenants, function(name) return value('t' .. name) end, 'nt', 'T')
  if first ~= tenant then return false end
  ledgers[#ledgers + 1] = ledger
  local ours = false
  for _, other in ipairs(others) do
    if fair['o' .. other] == tenant then jobs[#jobs + 1] = other ours = ours or other == job end
  end
  if not ours then jobs[#jobs + 1] = job end
  first, ledger = choose(jobs, function(name) return value('j' .. name) / value('w' .. name) end, 'n', tenant)
  if first ~= job then return false end
  ledgers[#ledgers + 1] = ledger
  return true
end

roll()
local uncontested, our_turn, others = true, true, {}
if each > 0 then
  load_fair()
  fade()
  others = asking()
  if not redis.call('ZSCORE', KEYS[5], job) then join(others) end
  put('w' .. job, weight)
  put('u' .. job, unended)
  fair['o' .. job] = tenant
  redis.call('HSET', KEYS[4], 'o' .. job, tenant)
  uncontested = #others == 0 or (#others == 1 and others[1] == job)
  if not uncontested then our_turn = is_our_turn(others) end
end

-- --- how many may leave at once

-- How many calls, of so many tokens each, whatever the pace, can leave without passing a limit. A slot counts
-- until no call that started in it, late or not, can have arrived less than a window ago.
local function unused(takes)
  local most = math.huge
  if limit.r > 0 then
    local rolled = tonumber(redis.call('HGET', KEYS[2], string.format('r%.0f', slot - SLOTS - 1))) or 0
    most = limit.r - number('tr') - rolled
  end
  for _, kind in ipairs({'i', 'o'}) do
    if limit[kind] > 0 then most = math.min(most, room(kind) / takes[kind]) end
  end
  return math.floor(most + 0.000001)
end

local function in_a_window(takes)
  local most = limit.r > 0 and limit.r or math.huge
  for _, kind in ipairs({'i', 'o'}) do
    if limit[kind] > 0 then most = math.min(most, limit[kind] / takes[kind]) end
  end
  return math.floor(most)
end

local function at_once()
  if not may_burst or each == 0 or ramp() < 1 then return 0 end
  local takes = {i = tokens.i, o = tokens.o}
  -- A job without answers of its own may take all of its max_tokens.
  if not has_answers and limit.o > 0 then takes.o = math.min(tonumber(ARGV[18]), limit.o) end
  local free, window_takes = unused(takes), in_a_window(takes)
  if value('l' .. job) < 1 then
    local waiting = unended
    for _, other in ipairs(others) do
      if other ~= job and value('u' .. other) <= window_takes then waiting = waiting + value('u' .. other) end
    end
    if waiting > free + window_takes then return 0 end
    put('l' .. job, math.max(unended, want))
  end
  local count = math.max(0, math.min(free, want))
  if count > 0 then tokens.o = takes.o end
  return count
end

local burst = our_turn and at_once() or 0

-- --- how many may start at the pace, and when

local paid = {r = limit.r > 0 and number('pr') or 0}
for _, kind in ipairs({'i', 'o'}) do
  paid[kind] = limit[kind] > 0 and state['p' .. kind] and math.max(number('p' .. kind), now - CREDIT * window) or 0
end
local start = math.max(now, paid.r, paid.i, paid.o)

-- How long to wait when the next start is free at `next`: not for a single start, so that waiting askers take a
-- few at once, and longer with many of them, so that they do not all come at the same time. Never so long that
-- the job would lose its place: others could leave at once before it, again and again.
local function pause_until(next, waiting)
  local microseconds = math.max(next - now - HORIZON, math.min(HORIZON / 2, 4 * each))
  if waiting > 1 then microseconds = microseconds * (1 + (waiting - 1) / 4) end
  return math.min(microseconds, LONGEST)
end

local has_spare = limit.r > 0 and each == spans.r and redis.call('ZCOUNT', KEYS[11], now, '+inf') > 0
if not our_turn or (each > 0 and burst == 0 and start - now > HORIZON and not has_spare) then
  return refuse(pause_until(start, count_waiting(1)), tightest, 1)
end

local fits = want
for _, kind in ipairs({'i', 'o'}) do
  if limit[kind] > 0 then fits = math.min(fits, math.floor(room(kind) / tokens[kind] + 0.000001)) end
end
if fits < 1 then
  count_waiting(1)
  return refuse(math.max(window / SLOTS, 10000), tightest, 1)
end
local last, count = start, 0
local spare = {}
if has_spare and burst == 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[11], 0, now)
  spare = redis.call('ZRANGEBYSCORE', KEYS[11], now, '+inf', 'LIMIT', 0, fits)
end
if burst > 0 then
  start, last, count = now, now, burst
elseif #spare > 0 then
  -- Starts that others gave back unused: as many as follow each other at the pace.
  start = tonumber(spare[1])
  last, count = start, 1
  while count < #spare and spare[count + 1] - last < 1.01 * spans.r do
    last, count = tonumber(spare[count + 1]), count + 1
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[11], start, last)
elseif each == 0 then
  count = fits
else
  -- Each start comes after the one before it, and after all that was taken is paid for.
  while count < fits do
    local at = math.max(start, paid.r, paid.i, paid.o)
    if at - now > HORIZON then break end
    last, count = at, count + 1
    paid.r = at + spans.r
    paid.i, paid.o = paid.i + spans.i, paid.o + spans.o
  end
end
local step = count > 1 and (last - start) / (count - 1) or spans.r

local mark = string.format('%.3f', last + spans.r)
if burst > 0 then
  step = 0
  if limit.r > 0 then set('pr', math.max(now, number('pr')) + count * spans.r) end
  put('l' .. job, value('l' .. job) - count)
elseif limit.r > 0 and #spare == 0 then
  set('pr', last + spans.r)
end
if limit.r > 0 and #spare == 0 then mark = state.pr end
local taken_in = math.floor(last / (window / SLOTS))
take_of('r', count, taken_in)
for _, kind in ipairs({'i', 'o'}) do
  take_of(kind, count * tokens[kind], taken_in)
  pay(kind, count * tokens[kind])
end
if each > 0 then
  put('j' .. job, value('j' .. job) + count * each / 1000000)
  put('t' .. tenant, value('t' .. tenant) + count * each / 1000000)
  for _, ledger in ipairs(ledgers) do put(ledger, value(ledger) + count * each / 1000000) end
end
if count < want then why(tightest, 3000) end
if probe == 1 then
  -- One call tries the group; all others wait for its outcome.
  local over = string.format('%.0f', now + tonumber(hold[3]))
  redis.call('HSET', KEYS[3], 'until', over, 'probing', over)
end
if taking > 0 then
  for _, key in ipairs({KEYS[6], KEYS[7]}) do
    redis.call('HINCRBY', key, lease, count)
    redis.call('PEXPIRE', key, 7200000)
  end
end
local still, pause = 0, 0
if each > 0 then
  still = count < want and probe == 0 and 1 or 0
  local waiting = count_waiting(still)
  if still == 1 then pause = pause_until(math.max(paid.r, paid.i, paid.o), waiting) end
  redis.call('PEXPIRE', KEYS[4], math.ceil(window / 100))
  redis.call('PEXPIRE', KEYS[5], 60000)
end
save()
return {
  count, math.ceil(start - now), math.floor(step), math.ceil(pause), still == 1 and tightest or '', probe, mark,
  tokens.i, tokens.o, still, estimate, burst > 0 and 1 or 0, taken_in,
}

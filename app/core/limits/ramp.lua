-- The provider found that the rate grew too fast: half of it from now on, and slowly up again.
-- Behind group.lua.
--
-- Refusals of calls that left before the rate was halved halve it no further.
local SETTLING = 5000000
if not state.ramp_at or now - number('ramp_at') > SETTLING then
  set('ramp', math.max(0.02, ramp() / 2))
  set('ramp_at', now)
end
save()
return string.format('%.3f', ramp())

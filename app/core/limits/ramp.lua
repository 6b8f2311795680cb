-- The provider refused a rate that grew too fast: halve it, and let it climb again slowly.
-- Loaded after group.lua.
--
-- Refusals of calls that left before the rate was halved halve it no further.
local SETTLING = 5000000
if not state.ramp_at or now - number('ramp_at') > SETTLING then
  set('ramp', math.max(0.02, ramp() / 2))
  set('ramp_at', now)
end
save()
return string.format('%.3f', ramp())

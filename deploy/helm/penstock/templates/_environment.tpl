{{- /* The variables of each process: a secret only where it is needed. All take `root` and `role`. */}}

{{- define "penstock.environment" -}}
{{- $root := .root }}
{{- $fullname := include "penstock.fullname" $root }}
{{- $work := has .role (list "web" "worker" "control") }}
{{- if ne .role "migrate" }}
envFrom:
  - configMapRef: {name: {{ $fullname }}}
{{- end }}
env:
  {{- if or $work (eq .role "migrate") }}
  {{- include "penstock.variable.database" . | nindent 2 }}
  {{- end }}
  {{- if ne .role "migrate" }}
  {{- include "penstock.variable.redis" $root | nindent 2 }}
  {{- include "penstock.variable.optional" (dict "root" $root "name" "CELERY_BROKER_URL") | nindent 2 }}
  {{- end }}
  {{- if eq .role "web" }}
  - {name: PENSTOCK_WEB_THREADS, value: {{ $root.Values.web.threads | quote }}}
  {{- include "penstock.variable.optional" (dict "root" $root "name" "API_KEYS") | nindent 2 }}
  {{- end }}
  {{- if eq .role "worker" }}
  {{- range $root.Values.providerKeys }}
  {{- include "penstock.variable.required" (dict "root" $root "name" .) | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- if has .role (list "web" "control") }}
  {{- /* They only have to know that there is one: what every stranger may reach should hold no provider's key. */}}
  - {name: WORKER_KEYS, value: {{ join "," $root.Values.providerKeys | quote }}}
  {{- include "penstock.variable.required" (dict "root" $root "name" "PENSTOCK_SECRET_KEY") | nindent 2 }}
  {{- end }}
  {{- if eq .role "flower" }}
  {{- include "penstock.variable.required" (dict "root" $root "name" "FLOWER_BASIC_AUTH") | nindent 2 }}
  {{- end }}
  {{- if $work }}
  {{- include "penstock.variables.objects" $root | nindent 2 }}
  {{- if $root.Values.files.providers }}
  - {name: PENSTOCK_PROVIDERS_FILE, value: /etc/penstock/providers.toml}
  {{- end }}
  {{- if $root.Values.files.limits }}
  - {name: PENSTOCK_LIMITS_FILE, value: /etc/penstock/limits.toml}
  {{- end }}
  {{- with $root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "penstock.variable.required" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ default (include "penstock.secret" .root) .secret }}, key: {{ .name }}}}
{{- end }}

{{- define "penstock.variable.optional" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ include "penstock.secret" .root }}, key: {{ .name }}, optional: true}}
{{- end }}

{{- define "penstock.variable.database" -}}
{{- if .root.Values.postgresql.bundled }}
{{- include "penstock.variable.required" (dict "root" .root "name" "POSTGRES_PASSWORD") }}
- name: DATABASE_URL
  value: postgresql://penstock:$(POSTGRES_PASSWORD)@{{ include "penstock.host" (dict "root" .root "role" "postgresql") }}:5432/penstock
{{- else }}
{{- $secret := ternary (include "penstock.migrateSecret" .root) (include "penstock.secret" .root) (eq .role "migrate") }}
{{- include "penstock.variable.required" (dict "root" .root "name" "DATABASE_URL" "secret" $secret) }}
{{- end }}
{{- end }}

{{- define "penstock.variable.redis" -}}
{{- if .Values.redis.bundled }}
{{- include "penstock.variable.required" (dict "root" . "name" "REDIS_PASSWORD") }}
- name: REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "penstock.host" (dict "root" . "role" "redis") }}:6379/0
{{- else }}
{{- include "penstock.variable.required" (dict "root" . "name" "REDIS_URL") }}
{{- end }}
{{- end }}

{{- define "penstock.variables.objects" -}}
{{- if .Values.objectStore.url -}}
- {name: OBJECT_STORE_URL, value: {{ .Values.objectStore.url | quote }}}
- {name: S3_ENDPOINT_URL, value: {{ .Values.objectStore.endpointUrl | quote }}}
{{ include "penstock.variable.optional" (dict "root" . "name" "AWS_ACCESS_KEY_ID") }}
{{ include "penstock.variable.optional" (dict "root" . "name" "AWS_SECRET_ACCESS_KEY") }}
{{- else -}}
- {name: OBJECT_STORE_URL, value: file:///objects}
{{- end }}
{{- end }}

{{- define "penstock.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* At most 40 characters: the longest suffix is "-migrate-" and ten of a hash, and a label holds 63. */}}
{{- define "penstock.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "penstock.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "penstock.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* What never changes, for selectors. Takes the root as `root` and the process as `role`. */}}
{{- define "penstock.selector" -}}
app.kubernetes.io/name: {{ include "penstock.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "penstock.labels" -}}
{{ include "penstock.selector" . }}
app.kubernetes.io/part-of: penstock
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "penstock.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "penstock.secret" -}}
{{- default (include "penstock.fullname" .) .Values.secrets.existingSecret }}
{{- end }}

{{- /* The hook runs before the chart's own Secret is there, so it brings one along. */}}
{{- define "penstock.migrateSecret" -}}
{{- default (printf "%s-migrate" (include "penstock.fullname" .)) .Values.secrets.existingSecret }}
{{- end }}

{{- define "penstock.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "penstock.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* With its namespace, because KEDA asks from another one. */}}
{{- define "penstock.host" -}}
{{- printf "%s-%s.%s.svc" (include "penstock.fullname" .root) .role .root.Release.Namespace }}
{{- end }}

{{- define "penstock.claim" -}}
{{- default (printf "%s-objects" (include "penstock.fullname" .)) .Values.objectStore.persistence.existingClaim }}
{{- end }}

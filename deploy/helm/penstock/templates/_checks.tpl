{{- /* What the schema cannot say: each refusal is a sentence with the remedy. */}}
{{- define "penstock.checks" -}}
{{- include "penstock.checks.secrets" . }}
{{- include "penstock.checks.objects" . }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas is %v and maxReplicas %v: the least must not be more than the most" .Values.autoscaling.minReplicas .Values.autoscaling.maxReplicas) }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.enabled needs ingress.hosts: name at least one host" }}
{{- end }}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
{{- fail "gateway.enabled needs gateway.parentRefs: name the Gateway that the route belongs to" }}
{{- end }}
{{- end }}

{{- define "penstock.checks.secrets" -}}
{{- $given := .Values.secrets.values }}
{{- $needed := list (ternary "POSTGRES_PASSWORD" "DATABASE_URL" .Values.postgresql.bundled) (ternary "REDIS_PASSWORD" "REDIS_URL" .Values.redis.bundled) "PENSTOCK_SECRET_KEY" }}
{{- if .Values.flower.enabled }}
{{- $needed = append $needed "FLOWER_BASIC_AUTH" }}
{{- end }}
{{- $needed = concat $needed .Values.providerKeys }}
{{- $known := concat $needed (list "CELERY_BROKER_URL" "API_KEYS" "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY") }}
{{- if .Values.secrets.existingSecret }}
{{- if $given }}
{{- fail (printf "secrets.existingSecret and secrets.values are both given: put all keys into the Secret %q, or leave it out" .Values.secrets.existingSecret) }}
{{- end }}
{{- else }}
{{- range $needed }}
{{- if not (get $given .) }}
{{- fail (printf "secrets.values.%s is missing: set it, or name a Secret of yours that has all of %s in secrets.existingSecret" . (join ", " $needed)) }}
{{- end }}
{{- end }}
{{- range list "POSTGRES_PASSWORD" "REDIS_PASSWORD" }}
{{- if and (has . $needed) (not (regexMatch "^[A-Za-z0-9]+$" (get $given .))) }}
{{- fail (printf "secrets.values.%s becomes part of a URL: use letters and digits alone, such as those of `openssl rand -hex 16`" .) }}
{{- end }}
{{- end }}
{{- range $name, $_ := $given }}
{{- if not (has $name $known) }}
{{- fail (printf "secrets.values.%s would reach no process: known are %s, and what providerKeys names" $name (join ", " $known)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "penstock.checks.objects" -}}
{{- if and (not .Values.objectStore.url) (eq .Values.objectStore.persistence.accessMode "ReadWriteOnce") }}
{{- $several := or (gt (int .Values.web.replicas) 1) (gt (int .Values.worker.replicas) 1) (gt (int .Values.control.replicas) 1) }}
{{- if or $several .Values.autoscaling.enabled }}
{{- fail "objectStore.persistence.accessMode is ReadWriteOnce, which one node alone can mount: set objectStore.url to an S3 bucket, or accessMode to ReadWriteMany, or run one replica each of web, worker and control without autoscaling" }}
{{- end }}
{{- end }}
{{- end }}

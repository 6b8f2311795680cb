{{- /* What the pods of all our processes have in common. All take `root` and `role`. */}}

{{- define "penstock.pod.metadata" -}}
{{- $root := .root -}}
labels:
  {{- include "penstock.labels" . | nindent 2 }}
  {{- with $root.Values.pod.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # A changed setting or secret starts new pods.
  checksum/config: {{ list $root.Values.config $root.Values.files | toJson | sha256sum }}
  {{- if not $root.Values.secrets.existingSecret }}
  checksum/secrets: {{ $root.Values.secrets.values | toJson | sha256sum }}
  {{- end }}
  {{- with $root.Values.pod.annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "penstock.pod.spec" -}}
{{- $root := .root -}}
automountServiceAccountToken: false
# A Service called "penstock" would otherwise be told in variables that begin as our settings do.
enableServiceLinks: false
# The pause process collects what a killed helper leaves behind.
shareProcessNamespace: true
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "penstock.pod.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- if has .role (list "web" "worker" "control") }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "penstock.selector" . | nindent 8 }}
{{- end }}
{{- end }}

{{- /* A folder that only one node can mount brings its pods to that node. */}}
{{- define "penstock.pod.affinity" -}}
{{- $root := .root }}
{{- $affinity := deepCopy $root.Values.pod.affinity }}
{{- $shared := and (not $root.Values.objectStore.url) (has .role (list "web" "worker" "control")) }}
{{- if and $shared (eq $root.Values.objectStore.persistence.accessMode "ReadWriteOnce") }}
{{- $release := dict "app.kubernetes.io/instance" $root.Release.Name }}
{{- $roles := dict "key" "app.kubernetes.io/component" "operator" "In" "values" (list "web" "worker" "control") }}
{{- $pods := dict "matchLabels" $release "matchExpressions" (list $roles) }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" $pods }}
{{- $own := dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) }}
{{- $affinity = mergeOverwrite $affinity $own }}
{{- end }}
{{- if $affinity }}
{{- toYaml $affinity }}
{{- end }}
{{- end }}

{{- define "penstock.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "penstock.container" -}}
name: {{ .role }}
image: {{ include "penstock.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "penstock.container.security" . | nindent 2 }}
command:
  {{- include (printf "penstock.command.%s" .role) .root | nindent 2 }}
{{- include "penstock.environment" . | nindent 0 }}
resources:
  {{- toYaml (get .root.Values .role).resources | nindent 2 }}
{{- end }}

{{- /* Nothing else is writable. Documents are in /objects, which web, workers and control share. */}}
{{- define "penstock.mounts" -}}
{{- $work := has .role (list "web" "worker" "control") -}}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
  {{- if and $work (not .root.Values.objectStore.url) }}
  - {name: objects, mountPath: /objects}
  {{- end }}
  {{- if and $work (or .root.Values.files.providers .root.Values.files.limits) }}
  - {name: files, mountPath: /etc/penstock, readOnly: true}
  {{- end }}
  {{- with .root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "penstock.volumes" -}}
{{- $work := has .role (list "web" "worker" "control") -}}
volumes:
  - name: data
    emptyDir: {sizeLimit: {{ ternary .root.Values.web.spoolSize "1Gi" (eq .role "web") }}}
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
  {{- if and $work (not .root.Values.objectStore.url) }}
  - name: objects
    persistentVolumeClaim: {claimName: {{ include "penstock.claim" .root }}}
  {{- end }}
  {{- if and $work (or .root.Values.files.providers .root.Values.files.limits) }}
  - name: files
    configMap: {name: {{ include "penstock.fullname" .root }}-files}
  {{- end }}
  {{- with .root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* A process of Celery's answers through the broker. While Redis is away it must not be restarted: its calls are
going on, and it comes back by itself. So it is only after a quarter of an hour of silence, longer than any call. */}}
{{- define "penstock.probes.celery" -}}
{{- $ping := printf "celery --app tasks inspect ping --timeout 5 --destination %s@$(uname -n)" (include "penstock.node" .role) -}}
startupProbe:
  exec: {command: [sh, -c, {{ $ping | quote }}]}
  periodSeconds: 10
  timeoutSeconds: 20
  failureThreshold: 30
livenessProbe:
  exec: {command: [sh, -c, {{ $ping | quote }}]}
  periodSeconds: 120
  timeoutSeconds: 20
  failureThreshold: 8
{{- end }}

{{- /* Calls in flight get the grace period to end; then rows are written. */}}
{{- define "penstock.patience" -}}
{{- add (default 30 .Values.config.PENSTOCK_GRACE_SECONDS | int) 30 }}
{{- end }}

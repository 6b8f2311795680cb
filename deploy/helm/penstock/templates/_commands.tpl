{{- /* The command line of each process, as in docker-compose.yml; a test compares them. */}}

{{- define "penstock.command.migrate" -}}
[penstock, migrate]
{{- end }}

{{- define "penstock.command.web" -}}
- python
- -m
- gunicorn
- app.factory:create_app()
- --bind
- 0.0.0.0:8000
- --workers
- "1"
- --worker-class
- app.server.worker.Worker
- --threads
- {{ .Values.web.threads | quote }}
- --graceful-timeout
- "5"
- --no-control-socket
{{- end }}

{{- define "penstock.command.worker" -}}
[python, -m, celery, --app, tasks, worker, --hostname, slices@%h, --queues, slices]
{{- end }}

{{- define "penstock.command.control" -}}
[python, -m, celery, --app, tasks, worker, --hostname, control@%h, --queues, control, --concurrency, "8"]
{{- end }}

{{- define "penstock.command.beat" -}}
[python, -m, celery, --app, tasks, beat]
{{- end }}

{{- define "penstock.command.flower" -}}
[python, -m, celery, --app, tasks, flower, --address=0.0.0.0, --port=5555]
{{- end }}

{{- /* Celery's processes are asked by the name that they have. */}}
{{- define "penstock.node" -}}
{{- get (dict "worker" "slices" "control" "control" "beat" "celerybeat") . }}
{{- end }}

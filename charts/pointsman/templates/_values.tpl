{{- /* An image of this release by its name: include "pointsman.image" (list . "operator") */}}
{{- define "pointsman.image" -}}
{{- $chart := index . 0 -}}
{{- printf "%s/%s:%s" $chart.Values.image.registry (index . 1) ($chart.Values.image.tag | default $chart.Chart.AppVersion) -}}
{{- end }}

{{- /* What graphs are made with: of this release and pulled as all images are, where `settings` does not say otherwise */}}
{{- define "pointsman.graphs" -}}
{{- $settings := .Values.settings }}
{{- $secrets := list }}
{{- range .Values.image.pullSecrets }}
{{- $secrets = append $secrets .name }}
{{- end }}
graphImage: {{ $settings.graphImage | default (include "pointsman.image" (list . "graph")) | quote }}
{{- with $settings.graphPullPolicy | default .Values.image.pullPolicy }}
graphPullPolicy: {{ quote . }}
{{- end }}
{{- with $settings.graphPullSecrets | default (join "," $secrets) }}
graphPullSecrets: {{ quote . }}
{{- end }}
{{- with $settings.graphGateway | default (.Values.gateway.enabled | ternary (printf "%s/pointsman" .Release.Namespace) "") }}
graphGateway: {{ quote . }}
{{- end }}
{{- end }}

{{- /* MLflow's address, for the operator and for the pods that fetch models */}}
{{- define "pointsman.registryUrl" -}}
{{- .Values.settings.registryUrl | default (printf "http://mlflow.%s.svc:5000" .Release.Namespace) -}}
{{- end }}

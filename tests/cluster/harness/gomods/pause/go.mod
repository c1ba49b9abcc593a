module pointsman.dev/testcluster/pause

go 1.24.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netchecker/cmd/cli"
)

// defaultServer is where the NodePort answers on every node.
const defaultServer = "http://127.0.0.1:31081"

func asUsage(err error) (*cli.UsageError, bool) { return errors.AsType[*cli.UsageError](err) }

func newMatrix() *cobra.Command {
	var server, output string
	filters := map[string]*string{}
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Prints the paths that are not ok, or those the filters choose",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"format": {output}}
			for name, value := range filters {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			return fetch(cmd.Context(), server, "/api/v1/matrix?"+query.Encode(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&server, "server", defaultServer, "`URL` of the server")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`form`: text, json or csv")
	for _, name := range []string{"state", "path", "source", "destination"} {
		filters[name] = cmd.Flags().String(name, "", "only paths of this "+name)
	}
	return cmd
}

// fetch copies the server's answer to out; an answer other than 200 is an error with its reason.
func fetch(ctx context.Context, server, path string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(server, "/")+path, nil)
	if err != nil {
		return cli.Usagef("--server %q: %v", server, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(res.Body, 1<<12))
		return fmt.Errorf("%s: %s: %s", server, res.Status, strings.TrimSpace(string(reason)))
	}
	_, err = io.Copy(out, res.Body)
	return err
}

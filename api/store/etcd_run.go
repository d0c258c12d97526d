package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"netchecker/api"
)

const (
	// retryEvery is how long etcd is left alone after it could not be reached or refused a write.
	retryEvery = time.Second
	// pingEvery is how often etcd is asked whether the watch is still up to date.
	pingEvery = 2 * time.Second
	// pageSize is how many records are read at once.
	pageSize = 1000
)

// run is the life of the store: sessions, one after the other.
func (e *Etcd) run(ctx context.Context) {
	defer close(e.done)
	defer e.client.Close()
	for {
		err := e.session(ctx)
		if ctx.Err() != nil {
			break
		}
		e.setBehind(fmt.Errorf("etcd: %w", e.explain(ctx, err)))
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
	if e.Behind() == nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
		defer cancel()
		_ = e.flush(last) // Close says what is left
	}
}

// session reads the tree, follows it and writes, until something keeps it from going on.
func (e *Etcd) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := e.load(ctx); err != nil {
		return err
	}
	if err := e.keepAlive(ctx); err != nil {
		return err
	}
	e.setBehind(nil)
	watch := e.client.Watch(clientv3.WithRequireLeader(ctx), e.prefix, clientv3.WithPrefix(), clientv3.WithRev(e.revision+1))
	ping, keep := time.NewTicker(pingEvery), time.NewTicker(e.ttl()/3)
	defer ping.Stop()
	defer keep.Stop()
	e.queue.again()
	heard := time.Now()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case resp, open := <-watch:
			if !open {
				return errors.New("watch ended")
			}
			heard = time.Now()
			err = e.follow(&resp)
		case <-ping.C:
			if silent := time.Since(heard); silent > pingEvery+e.cfg.timeout() {
				return fmt.Errorf("no news from the watch for %.0f s", silent.Seconds())
			}
			e.writeLost()
			err = e.askProgress(ctx)
		case <-keep.C:
			err = e.keepAlive(ctx)
		case <-e.queue.wake:
			if err = e.flush(ctx); err == nil && e.queue.err() != nil {
				e.later(ctx)
			}
			heard = time.Now() // nobody listened meanwhile
		}
		if err != nil {
			return err
		}
	}
}

// askProgress has the watch say that it is up to date. While the connection is broken the library
// would not return.
func (e *Etcd) askProgress(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.timeout())
	defer cancel()
	return e.client.RequestProgress(clientv3.WithRequireLeader(ctx))
}

// later waits a little before what was refused is tried again.
func (e *Etcd) later(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retryEvery):
		e.queue.again()
	}
}

func (e *Etcd) ttl() time.Duration { return max(e.cfg.TTL, minTTL) }

// load reads all records.
func (e *Etcd) load(ctx context.Context) error {
	known, stored := map[string]place{}, map[string]bool{}
	from, end, at := e.prefix, clientv3.GetPrefixRangeEnd(e.prefix), int64(0)
	for {
		resp, err := e.get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(pageSize), clientv3.WithRev(at))
		if err != nil {
			return err
		}
		at = resp.Header.Revision
		for _, kv := range resp.Kvs {
			name := string(kv.Key[len(e.prefix):])
			known[name], stored[name] = place{kv.ModRevision, clientv3.LeaseID(kv.Lease)}, true
			e.take(name, kv.Value)
			from = string(kv.Key) + "\x00"
		}
		if !resp.More {
			break
		}
	}
	e.known, e.revision = known, at
	e.reread(stored)
	return nil
}

func (e *Etcd) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.timeout())
	defer cancel()
	return e.client.Get(ctx, key, opts...)
}

// take takes in one record as it stands in etcd.
func (e *Etcd) take(name string, value []byte) {
	var s stored
	if err := json.Unmarshal(value, &s); err != nil {
		e.log.Warn("report in etcd not readable", "agent", name, "error", err)
		return
	}
	e.learn(&api.Record{Name: name, Report: s.Report, Authenticated: s.Authenticated})
}

// follow takes in what the watch says.
func (e *Etcd) follow(resp *clientv3.WatchResponse) error {
	if err := resp.Err(); err != nil {
		return err
	}
	if resp.Header.Revision < e.revision {
		return fmt.Errorf("revision %d came after %d: etcd has lost data", resp.Header.Revision, e.revision)
	}
	e.revision = max(e.revision, resp.Header.Revision)
	for _, event := range resp.Events {
		name := string(event.Kv.Key[len(e.prefix):])
		if event.Type == clientv3.EventTypeDelete {
			if event.Kv.ModRevision > e.known[name].revision {
				delete(e.known, name)
				e.vanished(name)
			}
			continue
		}
		p := place{event.Kv.ModRevision, clientv3.LeaseID(event.Kv.Lease)}
		if p.revision >= e.known[name].revision {
			e.known[name] = p
		}
		if p.lease != e.lease { // else we wrote it
			e.take(name, event.Kv.Value)
		}
	}
	return nil
}

// keepAlive keeps our lease alive and those of all other records, getting one where ours is gone.
func (e *Etcd) keepAlive(ctx context.Context) error {
	leases := map[clientv3.LeaseID]bool{e.lease: true}
	for _, p := range e.known {
		leases[p.lease] = true
	}
	for lease := range leases {
		if lease == clientv3.NoLease {
			continue
		}
		err := e.renew(ctx, lease)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) { // the watch tells which records went with it
			if lease == e.lease {
				e.lease = clientv3.NoLease
			}
			continue
		}
		if err != nil {
			return err
		}
	}
	if e.lease != clientv3.NoLease {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.timeout())
	defer cancel()
	granted, err := e.client.Grant(ctx, int64(e.ttl()/time.Second))
	if err != nil {
		return err
	}
	e.lease = granted.ID
	return nil
}

func (e *Etcd) renew(ctx context.Context, lease clientv3.LeaseID) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.timeout())
	defer cancel()
	_, err := e.client.KeepAliveOnce(ctx, lease)
	return err
}

// Calls Vitess' xtrabackup engine as a tablet does, unchanged, for tests/e2e/real_callers.rs:
//
//	vitess backup  [flags of vtbackup] --mycnf FILE --user NAME --name NAME
//	vitess restore [flags of vtbackup] --mycnf FILE --user NAME --name NAME
//
// backup connects to the socket that the option file names; restore replaces the data directory that it names.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"vitess.io/vitess/go/mysql/collations"
	"vitess.io/vitess/go/vt/dbconfigs"
	"vitess.io/vitess/go/vt/logutil"
	"vitess.io/vitess/go/vt/mysqlctl"
	"vitess.io/vitess/go/vt/mysqlctl/backupstats"
	"vitess.io/vitess/go/vt/mysqlctl/backupstorage"
	_ "vitess.io/vitess/go/vt/mysqlctl/filebackupstorage"
	"vitess.io/vitess/go/vt/servenv"
)

const directory = "test/0"

func run(arguments []string) error {
	// The engine registers its options for this program.
	flags := servenv.GetFlagSetFor("vtbackup")
	mycnf := pflag.NewFlagSet("", pflag.ContinueOnError)
	path := mycnf.String("mycnf", "", "the server's option file")
	user := mycnf.String("user", "", "the account of queries")
	name := mycnf.String("name", "", "the name of the backup")
	flags.AddFlagSet(mycnf)
	if len(arguments) == 0 {
		return fmt.Errorf("no command was given, expected backup or restore")
	}
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	cnf := &mysqlctl.Mycnf{Path: *path}
	cnf, err := mysqlctl.ReadMycnf(cnf, 0)
	if err != nil {
		return err
	}
	configs := &dbconfigs.GlobalDBConfigs
	configs.Socket = cnf.SocketFile
	configs.Charset = "utf8mb4"
	configs.Dba.User, configs.App.User = *user, *user
	configs.InitWithSocket(cnf.SocketFile, collations.MySQL8())
	mysqld := mysqlctl.NewMysqld(configs)
	defer mysqld.Close()

	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	storage, err := backupstorage.GetBackupStorage()
	if err != nil {
		return err
	}
	defer storage.Close()
	engine, logger := &mysqlctl.XtrabackupEngine{}, logutil.NewConsoleLogger()
	switch arguments[0] {
	case "backup":
		handle, err := storage.StartBackup(ctx, directory, *name)
		if err != nil {
			return err
		}
		result, err := engine.ExecuteBackup(ctx, mysqlctl.BackupParams{
			Cnf: cnf, Mysqld: mysqld, Logger: logger, Concurrency: 2, Keyspace: "test", Shard: "0", TabletAlias: *name,
			BackupTime: time.Now(), Stats: backupstats.NoStats(), MysqlShutdownTimeout: time.Minute,
		}, handle)
		if err != nil {
			return err
		}
		if result != mysqlctl.BackupUsable {
			return fmt.Errorf("the backup is not usable: %v", result)
		}
		return handle.EndBackup(ctx)
	case "restore":
		backups, err := storage.ListBackups(ctx, directory)
		if err != nil {
			return err
		}
		for _, handle := range backups {
			if handle.Name() == *name {
				_, err := engine.ExecuteRestore(ctx, mysqlctl.RestoreParams{
					Cnf: cnf, Mysqld: mysqld, Logger: logger, Concurrency: 2, Keyspace: "test", Shard: "0",
					Stats: backupstats.NoStats(), MysqlShutdownTimeout: time.Minute,
				}, handle)
				return err
			}
		}
		return fmt.Errorf("no backup %v was found in %v", *name, directory)
	default:
		return fmt.Errorf("unknown command %q, expected backup or restore", arguments[0])
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vitess:", err)
		os.Exit(1)
	}
}

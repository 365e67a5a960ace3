# Cluster.pm
#    The cluster on its hosts: n1, n2, n3 with PostgreSQL and the extension, w with
#    regentd, c where the clients run, and n4, an empty host that may become a node.
#
# The product is taken as it was when the test began: regentd, regent,
# regent-node and the extension are copied, and the copies are mounted where a
# server looks for them, for this test only.  So nothing need be installed, and a
# build beside a long run does not change it.
package Cluster;

use strict;
use warnings;
use File::Path qw(make_path);
use Host;
use JSON::PP ();
use Net;
use RegentCluster qw(slurp spew wait_until run_command);
use Time::HiRes qw(time sleep);

our @first = qw(n1 n2 n3);    # of which it is made
our $spare = 'n4';
our @nodes = (@first, $spare);
our %number = (w => 10, n1 => 11, n2 => 12, n3 => 13, n4 => 14, c => 20);
our $ssh_port = 2222;
my $bindir = $RegentCluster::bindir;

# new(dir, rng, durability, lease)
sub new
{
	my ($class, %o) = @_;
	my $self = bless { %o, user => $ENV{REGENT_TEST_USER}, hosts => {} }, $class;
	$self->{secret} = { map { $_ => sprintf 'canary-%s-%08x%08x', $_, int(rand(2**32)), int(rand(2**32)) } qw(regent replication chaos) };
	make_path($o{dir});
	return $self;
}

sub host { my ($self, $name) = @_; return $self->{hosts}{$name} }
sub hosts { my ($self) = @_; return @{ $self->{hosts} }{ sort keys %{ $self->{hosts} } } }
sub data { my ($self, $name) = @_; return $self->host($name)->dir . '/data' }

# ---- building ----

# Mounts a copy of the extension over the server's directories, once for all clusters of a run.
sub mount_product
{
	my ($dir) = @_;
	my ($lib, $share) = map { my $d = RegentCluster::must([ $ENV{PG_CONFIG}, $_ ]); chomp $d; $d } '--pkglibdir', '--sharedir';
	my $top = $RegentCluster::top;
	make_path("$dir/product");
	RegentCluster::must([ 'cp', '-a', "$lib/.", "$dir/product/lib" ]);
	RegentCluster::must([ 'cp', '-a', "$share/extension/.", "$dir/product/extension" ]);
	RegentCluster::must([ 'cp', "$top/extension/pg_regent.so", "$dir/product/lib/" ]);
	RegentCluster::must([ 'cp', "$top/extension/pg_regent.control", glob("$top/sql/*.sql"), "$dir/product/extension/" ]);
	RegentCluster::must([ 'cp', glob("$top/scripts/regent-node*"), "$ENV{REGENTD_BUILD}/regentd", "$ENV{REGENTD_BUILD}/regent", "$ENV{REGENTD_BUILD}/regent-copy", "$top/test/chaos/build/chaos-load",
			"$top/test/chaos/build/chaos-relay", "$dir/product/" ]);
	RegentCluster::must([ 'chmod', '-R', 'a+rX', "$dir/product" ]);
	RegentCluster::must([ 'mount', '--bind', "$dir/product/lib", $lib ]);
	RegentCluster::must([ 'mount', '--bind', "$dir/product/extension", "$share/extension" ]);
	return "$dir/product";
}

sub up
{
	my ($self) = @_;
	$self->{net} = Net->new(relay => "$self->{product}/chaos-relay");
	for my $name (sort keys %number)
	{
		my %disk = $name eq 'c' ? () : (disk_mb => $name eq 'w' ? 64 : $self->{disk_mb} || 1024);
		$self->{hosts}{$name} = Host->new(name => $name, number => $number{$name}, dir => $self->{dir}, user => $self->{user}, net => $self->{net},
			rng => $self->{rng}, %disk);
	}
	my $c = $self->host('c');
	chmod 0755, $c->dir;
	$c->own($c->dir);
	$self->write_files;
	$_->boot for $self->hosts;
	$self->make_servers;
	$self->host('w')->must([ "$self->{product}/regent", '-c', $self->{conf}, 'init', '--admin-conninfo', 'user=postgres dbname=postgres' ], timeout => 120);
	$self->start_regentd;
	$self->make_tables;
}

sub write_files
{
	my ($self) = @_;
	my ($w, $c, $s) = ($self->host('w'), $self->host('c'), $self->{secret});
	my $wd = $w->dir;
	mkdir "$wd/$_", 0700 for qw(state run);
	$w->own("$wd/state", "$wd/run");
	RegentCluster::must([ 'ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'regent', '-f', "$wd/id_ed25519" ]);
	$w->own("$wd/id_ed25519");
	my $key = slurp("$wd/id_ed25519.pub");
	my $known = '';
	for my $name (@nodes)
	{
		my $h = $self->host($name);
		my $d = $h->dir;
		$known .= $h->make_sshd($ssh_port, qq{restrict,command="$self->{product}/regent-node -c $d/node.conf" $key});
		$h->put('node.conf', "[$name]\ndata_directory = $d/data\nbin_directory = $bindir\nport = 5432\nstart = pg_ctl\nlog_file = $d/server.log\n");
		mkdir "$d/run", 0755;
		$h->own("$d/run");
		$h->put('own.conf', own_conf($h));
	}
	$w->put('known_hosts', $known);
	$w->put('passfile', "*:*:*:regent:$s->{regent}\n*:*:*:regent_replication:$s->{replication}\n", 0600);
	$c->put('pgpass', "*:*:*:chaos:$s->{chaos}\n", 0600);
	$self->write_regent_conf;
}

sub write_regent_conf
{
	my ($self) = @_;
	my $d = $self->host('w')->dir;
	my %c = (name => 'main', user => 'regent', database => 'postgres', replication_user => 'regent_replication', ssh_user => $self->{user},
		ssh_key => "$d/id_ed25519", ssh_known_hosts => "$d/known_hosts", state_directory => "$d/state", control_socket => "$d/run/main.sock",
		passfile => "$d/passfile", replication_passfile => "$self->{dir}/pgpass", lease => $self->{lease}, durability => $self->{durability},
		# rounds are not to be told apart by what befell a node in the ones before
		crash_limit => 0, on_disk_full => 'failover', %{ $self->{regent} || {} });
	my $text = "[cluster]\n" . join('', map { "$_ = $c{$_}\n" } sort keys %c);
	for my $name (@first)
	{
		$text .= "\n[node $name]\nhost = " . $self->host($name)->address . "\nport = 5432\nssh_port = $ssh_port\n";
	}
	$self->{conf} = $self->host('w')->put('regent.conf', $text, 0600);
	spew("$self->{dir}/pgpass", "*:*:*:regent_replication:$self->{secret}{replication}\n", 0600);
	$self->host('w')->own("$self->{dir}/pgpass");
}

# What the settings of a host have for themselves: they are the same everywhere, so that
# a node that is cloned from another one finds its own.
sub own_conf
{
	my ($h) = @_;
	return "listen_addresses = '@{[ $h->address ]}'\nunix_socket_directories = '@{[ $h->dir ]}/run'\nregent.node_name = '@{[ $h->name ]}'\n";
}

sub server_conf
{
	my ($self) = @_;
	my $until = POSIX::strftime('%Y-%m-%d %H:%M:%S+00', gmtime(time() + 1800));
	my $sync = $self->{durability} eq 'async' ? '' : "synchronous_standby_names = 'ANY 1 (" . join(', ', @first) . ")'\n";
	# commit_delay: a tmpfs syncs in no time, a disk does not
	return <<"END";
# written by the test
include '../own.conf'
port = 5432
shared_preload_libraries = 'pg_regent'
regent.adopting = '$until'
wal_level = replica
hot_standby = on
max_wal_senders = 10
max_replication_slots = 10
max_prepared_transactions = 64
max_connections = 80
wal_log_hints = on
wal_retrieve_retry_interval = 10ms
wal_receiver_status_interval = 1s
shared_buffers = 16MB
max_wal_size = 128MB
commit_delay = 8000
commit_siblings = 0
log_line_prefix = '%m [%p] %b %a '
log_replication_commands = on
lc_messages = C
$sync
END
}

sub hba
{
	return <<"END";
local all         all                          trust
host  all         postgres $Net::prefix.0/24   trust
host  replication postgres $Net::prefix.0/24   trust
host  all         all      $Net::prefix.0/24   scram-sha-256
host  replication all      $Net::prefix.0/24   scram-sha-256
END
}

sub make_servers
{
	my ($self) = @_;
	my $n1 = $self->host('n1');
	$n1->must([ "$bindir/initdb", '-N', '-A', 'trust', '-U', 'postgres', '-D', $self->data('n1'), '--no-instructions', '--locale', 'C', '-E', 'UTF8',
			'--wal-segsize', '4' ], timeout => 120);
	for my $name (@first)
	{
		my $h = $self->host($name);
		$h->must([ "$bindir/pg_basebackup", '-D', $self->data($name), '-h', $n1->address, '-U', 'postgres', '-X', 'stream', '-c', 'fast', '-R', '--no-sync' ],
			timeout => 120)
			if $name ne 'n1';
		unlink $self->data($name) . '/regent.state';
		$h->put('data/postgresql.conf', $self->server_conf, 0600);
		$h->put('data/pg_hba.conf', hba(), 0600);
		$self->start_server($name, 1);
	}
}

# Like Debian's pg_ctlcluster: a postmaster.pid from before a boot, whose number some
# other process has now, would keep the server from starting.
sub forget_old_postmaster
{
	my ($self, $name) = @_;
	my $file = $self->data($name) . '/postmaster.pid';
	my $age = time() - ((stat $file)[9] // return);
	unlink $file if $age > 2 && !defined $self->postmaster($name);
}

# As the service manager of its host does; waits only when told to.
sub start_server
{
	my ($self, $name, $wait) = @_;
	my $h = $self->host($name);
	$self->forget_old_postmaster($name);
	my @cmd = ("$bindir/pg_ctl", '-D', $self->data($name), '-l', $h->dir . '/server.log', '-s', $wait ? ('-w', '-t', 60) : '-W', 'start');
	return $h->must([@cmd], timeout => 90) if $wait;
	$h->start([@cmd], $h->dir . '/by-hand.log');
}

sub make_tables
{
	my ($self) = @_;
	my $leader = wait_until(sub { my $s = $self->status; $s && $s->{auto_failover}{ready} && $s->{leader} }, 60, 'automatic failover to be ready',
		sub { $self->log_tail });
	# log_min_messages: a refused try, twenty times a second, is no news
	defined $self->sql($leader, <<"END") or die "can't make the tables: $self->{sql_error}";
CREATE ROLE chaos LOGIN PASSWORD '$self->{secret}{chaos}';
ALTER ROLE chaos SET log_min_messages = 'log';
GRANT USAGE ON SCHEMA regent TO chaos;
GRANT SELECT ON regent.rule TO chaos;
CREATE FUNCTION chaos_term() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT max(term) FROM regent.rule';
CREATE TABLE chaos_rows (id bigint PRIMARY KEY, node text NOT NULL DEFAULT current_setting('regent.node_name'));
GRANT SELECT, INSERT ON chaos_rows TO chaos;
CREATE PROCEDURE chaos_two(a bigint, b bigint, INOUT term bigint) LANGUAGE plpgsql AS \$\$
BEGIN
	INSERT INTO chaos_rows (id) VALUES (a);
	COMMIT;
	INSERT INTO chaos_rows (id) VALUES (b);
	term := chaos_term();
END \$\$;
END
}

# ---- regentd ----

sub start_regentd
{
	my ($self) = @_;
	my $w = $self->host('w');
	$w->daemon([ "$self->{product}/regentd", '-c', $self->{conf} ], $w->dir . '/regentd.log');
}

sub regentd_pid
{
	my ($self) = @_;
	my ($pid) = $self->host('w')->find(qr{^\Q$self->{product}\E/regentd });
	return $pid;
}

# The control socket is a file: asking needs no network.
sub regent_words
{
	my ($self, @args) = @_;
	return ('setpriv', "--reuid=$self->{user}", "--regid=" . (getpwnam($self->{user}))[3], '--init-groups', '--', "$self->{product}/regent",
		'-c', $self->{conf}, @args);
}

sub regent
{
	my ($self, $timeout, @args) = @_;
	return run_command([ $self->regent_words(@args) ], timeout => $timeout);
}

# Is there a section of this node in regent.conf?
sub has_section { my ($self, $name) = @_; return scalar((slurp($self->{conf}) // '') =~ /^\[node \Q$name\E\]/m) }

# What a section of it needs, as options of `regent node add`.
sub section_options { my ($self, $name) = @_; return ('--host', $self->host($name)->address, '--port', 5432, '--ssh-port', $ssh_port) }

sub status
{
	my ($self) = @_;
	my ($rc, $out) = $self->regent(3, '--json', 'status');
	return undef if $out eq '';
	return eval { JSON::PP::decode_json($out) };
}

sub events
{
	my ($self) = @_;
	my ($rc, $out) = $self->regent(10, '--json', 'events');
	my $json = eval { JSON::PP::decode_json($out) };
	return ref $json eq 'HASH' ? @{ $json->{events} } : ref $json eq 'ARRAY' ? @$json : ();
}

sub log_tail
{
	my ($self) = @_;
	my @lines = split /\n/, slurp($self->host('w')->dir . '/regentd.log') || '';
	return join("\n", @lines > 25 ? @lines[ -25 .. -1 ] : @lines) . "\n";
}

# ---- servers ----

# As superuser over the unix socket; undef on an error, the reason in {sql_error}.
sub sql
{
	my ($self, $name, $query, $timeout) = @_;
	my ($rc, $out, $err) = run_command([ "$bindir/psql", '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d',
			'host=' . $self->host($name)->dir . '/run user=postgres dbname=postgres connect_timeout=5' ],
		stdin => $query, timeout => $timeout || 20);
	$self->{sql_error} = $err;
	return undef if $rc != 0;
	chomp $out;
	return $out;
}

# Ends the server of a node that belongs to nobody any more, and empties its host.
sub empty_host
{
	my ($self, $name) = @_;
	my $h = $self->host($name);
	if (defined(my $pid = $self->postmaster($name)))
	{
		kill('QUIT', $pid);
		wait_until(sub { !$h->find(qr/^postgres|^\S+\/postgres /) }, 30, "the server of $name to end");
	}
	RegentCluster::must([ 'rm', '-rf', glob($self->data($name) . '*') ]);
}

# pid of the postmaster, as this test numbers it
sub postmaster
{
	my ($self, $name) = @_;
	my ($inner) = split /\n/, slurp($self->data($name) . '/postmaster.pid') || '';
	return undef unless defined $inner && $inner =~ /^\d+$/ && $self->host($name)->is_up;
	my $pid = $self->host($name)->outer_pid($inner);
	return defined $pid && Host::state_of($pid) ne 'Z' && Host::title_of($pid) =~ /postgres/ ? $pid : undef;
}

# ---- end ----

sub down
{
	my ($self) = @_;
	$_->power_off for $self->hosts;
	$self->{net}->undelay_all if $self->{net};
	run_command([ 'ip', 'link', 'del', 'br0' ]);
	for my $h ($self->hosts)
	{
		run_command([ 'umount', '-l', $h->dir ]) if $h->{disk_mb};
	}
}

1;

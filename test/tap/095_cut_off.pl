# needs: root
# Hosts that can be cut off: each node, and the watchdog, in a network namespace
# of its own, joined by a bridge in yet another one.  Cut off from the watchdog
# while standbys stream: alive (F02).  Cut off from everybody: an alarm, nobody
# is promoted without a proven fence.  The watchdog cut off: nothing.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew);
use Test::More;

my $user = $ENV{REGENT_TEST_USER} || 'postgres';
my ($uid, $gid) = (getpwnam($user))[ 2, 3 ];
my $id = sprintf 'rg%04x', $$ & 0xffff;
my %host = (n1 => '10.231.0.11', n2 => '10.231.0.12', n3 => '10.231.0.13', w => '10.231.0.10');
my @namespaces;

sub ns { return "$id-$_[0]" }

sub ip { RegentCluster::must([ 'ip', @_ ]) }

sub make_network
{
	ip('netns', 'add', ns('br'));
	push @namespaces, ns('br');
	ip('-n', ns('br'), 'link', 'add', 'br0', 'type', 'bridge');
	ip('-n', ns('br'), 'link', 'set', 'br0', 'up');
	for my $h (sort keys %host)
	{
		ip('netns', 'add', ns($h));
		push @namespaces, ns($h);
		ip('-n', ns('br'), 'link', 'add', "v$h", 'type', 'veth', 'peer', 'name', 'eth0', 'netns', ns($h));
		ip('-n', ns('br'), 'link', 'set', "v$h", 'master', 'br0', 'up');
		ip('-n', ns($h), 'addr', 'add', "$host{$h}/24", 'dev', 'eth0');
		ip('-n', ns($h), 'link', 'set', 'eth0', 'up');
		ip('-n', ns($h), 'link', 'set', 'lo', 'up');
	}
}

# Drops everything between $h and the named others, both ways; heal() ends it.
sub cut
{
	my ($h, @others) = @_;
	my $set = join ', ', map { $host{$_} } @others;
	RegentCluster::must([ 'ip', 'netns', 'exec', ns($h), 'nft', '-f', '-' ], stdin => <<"END");
table inet cut {
	chain in { type filter hook input priority 0; ip saddr { $set } drop; }
	chain out { type filter hook output priority 0; ip daddr { $set } drop; }
}
END
}

sub heal { RegentCluster::must([ 'ip', 'netns', 'exec', ns($_[0]), 'nft', 'flush', 'ruleset' ]) }

# A command as the test user, in a host's namespace.
sub on
{
	my ($h, @cmd) = @_;
	return ('ip', 'netns', 'exec', ns($h), 'setpriv', "--reuid=$uid", "--regid=$gid", '--init-groups', @cmd);
}

END
{
	my $status = $?;
	# whatever still runs in our namespaces was started by us
	for my $name (@namespaces)
	{
		my @pids = split /\s+/, `ip netns pids $name 2>/dev/null`;
		kill 'KILL', @pids if @pids;
	}
	RegentCluster::run_command([ 'ip', 'netns', 'del', $_ ]) for @namespaces;
	$? = $status;
}

make_network();

# The cluster of RegentCluster, each part started on its host.
{
	package Hosts;
	our @ISA = ('RegentCluster');

	sub start_server
	{
		my ($self, $name) = @_;
		my $n = $self->node($name);
		system('chown', '-R', "$uid:$gid", $self->{dir});
		RegentCluster::must([ main::on($name, "$RegentCluster::bindir/pg_ctl", '-D', $n->{dir}, '-l', $n->{log}, '-w', '-t', 60, '-s', 'start') ]);
	}

	sub make_primary
	{
		my ($self, $name) = @_;
		my $n = $self->node($name);
		system('chown', '-R', "$uid:$gid", $self->{dir});
		RegentCluster::must([ main::on($name, "$RegentCluster::bindir/initdb", '-N', '-A', 'trust', '-U', 'postgres', '-D', $n->{dir}, '--no-instructions',
			'--locale', 'C', '-E', 'UTF8') ]);
		RegentCluster::spew("$n->{dir}/postgresql.conf", $self->server_conf($name));
		RegentCluster::spew("$n->{dir}/pg_hba.conf", $self->hba);
		$self->start_server($name);
	}

	sub make_standby
	{
		my ($self, $name) = @_;
		my $n = $self->node($name);
		my $p = $self->node('n1');
		RegentCluster::must([ main::on($name, "$RegentCluster::bindir/pg_basebackup", '-D', $n->{dir}, '-h', $p->{host}, '-p', $p->{port}, '-U', 'postgres',
			'-X', 'stream', '-c', 'fast', '-R', '--no-sync') ]);
		RegentCluster::spew("$n->{dir}/postgresql.conf", $self->server_conf($name));
		$self->start_server($name);
	}

	sub regent
	{
		my ($self, @args) = @_;
		return RegentCluster::run_command([ main::on('w', "$RegentCluster::build/regent", '-c', $self->{conf}, @args) ], timeout => 60);
	}

	sub sql
	{
		my ($self, $name, $query) = @_;
		my ($rc, $out, $err) = RegentCluster::run_command([ main::on($name, "$RegentCluster::bindir/psql", '-XqAt', '-d', $self->conninfo($name)) ],
			stdin => $query);
		chomp $out;
		return $rc == 0 ? $out : undef;
	}
}

my $c = Hosts->new(nodes => 3, host => \%host, port => { map { $_ => 5432 } qw(n1 n2 n3) }, no_sshd => 1,
	conf => "unix_socket_directories = ''\n",
	regent => { ssh_user => $user, lease => '4s' });
$c->{ssh_port} = 2222;
$c->make_known_hosts;
$c->write_regent_conf;
system('chown', '-R', "$uid:$gid", $c->dir);
for my $h (qw(n1 n2 n3))
{
	my $conf = $c->dir . "/sshd-$h.conf";
	spew($conf, join("\n", "Port 2222", "ListenAddress $host{$h}", "HostKey " . $c->dir . "/host_ed25519",
		"AuthorizedKeysFile " . $c->dir . "/authorized_keys", "PidFile none", "UsePAM no", "StrictModes no", "PasswordAuthentication no",
		"MaxSessions 20", "MaxStartups 50", ''));
	system('chown', "$uid:$gid", $conf);
	$c->{pids}{"sshd-$h"} = $c->spawn([ on($h, '/usr/sbin/sshd', '-D', '-e', '-f', $conf) ], $c->dir . "/sshd-$h.log");
}
$c->init_cluster;
$c->{regentd} = $c->spawn([ on('w', "$RegentCluster::build/regentd", '-c', $c->{conf}) ], $c->dir . '/regentd.log');
$c->wait_ready;
$c->sql('n1', 'CREATE TABLE t (id int)');

sub unchanged
{
	my ($what) = @_;
	my $s = $c->wait_status(sub { $_[0]{diagnosis} eq 'healthy' && $_[0]{auto_failover}{ready} }, 60, "$what: healthy again");
	is("$s->{leader} $s->{term}", 'n1 1', "$what: same leader, same term");
}

# watchdog cut off from the primary; standbys stream, clients write
cut('w', 'n1');
my $s = $c->wait_status(sub { $_[0]{diagnosis} =~ /^watchdog cut off/ }, 30, 'watchdog cut off');
pass("watchdog cut off: $s->{diagnosis_text}");
is($c->sql('n1', 'INSERT INTO t VALUES (1) RETURNING id'), '1', 'the primary takes writes all the while');
ok(!$s->{auto_failover}{ready}, "not ready: $s->{auto_failover}{reason}");
heal('w');
unchanged('watchdog cut off');

# the primary cut off from everybody
cut('n1', qw(w n2 n3));
$s = $c->wait_status(sub { $_[0]{diagnosis} eq 'host lost' }, 30, 'host lost');
pass("host lost: $s->{diagnosis_text}");
is($s->{leader}, 'n1', 'nobody is promoted without a proven fence');
is($c->sql($_, 'SELECT pg_is_in_recovery()'), 't', "$_ stays a standby") for qw(n2 n3);
ok((grep { $_->{event} eq 'primary_alarm' && $_->{message} =~ /host lost/ } $c->events), 'an alarm was raised');
heal('n1');
unchanged('host lost');

# the watchdog cut off from everybody
cut('w', qw(n1 n2 n3));
$s = $c->wait_status(sub { $_[0]{diagnosis} eq 'watchdog isolated' }, 30, 'watchdog isolated');
pass("isolated: $s->{diagnosis_text}");
heal('w');
unchanged('watchdog isolated');

# a standby cut off from its primary only
cut('n3', 'n1');
$c->wait_node('n3', 'not_streaming', 90);
is($c->status->{leader}, 'n1', 'a standby that lost its primary changes nothing');
heal('n3');
$c->wait_node('n3', 'ok', 90);
unchanged('standby cut off');
done_testing();

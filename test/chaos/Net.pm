# Net.pm
#    The network between the hosts: a bridge in the test's own network namespace,
#    one port for each host, and what goes wrong on the way between two ports.
#
# Faults live in the bridge, not in the hosts: they hold while a host is frozen,
# off or booting.  A cut drops all frames (ARP, too, as a dead switch does: soon
# "no route to host") or only IP (silence).  Delay is a relay between a host's
# port and the bridge, as not every kernel has netem.
package Net;

use strict;
use warnings;
use RegentCluster qw(run_command wait_until);

our $prefix = '10.231.0';

sub new
{
	my ($class, %o) = @_;
	my $self = bless { relay => $o{relay}, faults => {}, next => 1, delayed => {} }, $class;
	ip('link', 'set', 'lo', 'up');
	ip('link', 'add', 'br0', 'type', 'bridge');
	ip('link', 'set', 'br0', 'up');
	return $self;
}

sub ip { RegentCluster::must([ 'ip', @_ ]) }

# Plugs a host in; its port vanishes with its namespace.
sub attach
{
	my ($self, $host) = @_;
	my ($name, $pid) = ($host->name, $host->init_pid);
	# the port of the boot before goes when the kernel has torn its namespace down
	run_command([ 'ip', 'link', 'del', "v-$name" ]);
	my $number = (split /\./, $host->address)[3];
	ip('link', 'add', "v-$name", 'type', 'veth', 'peer', 'name', 'eth0', 'address', sprintf('02:00:00:00:00:%02x', $number), 'netns', $pid);
	ip('link', 'set', "v-$name", 'master', 'br0', 'up');
	my @in = ('nsenter', '-t', $pid, '-n', 'ip');
	RegentCluster::must([ @in, 'addr', 'add', $host->address . '/24', 'dev', 'eth0' ]);
	RegentCluster::must([ @in, 'link', 'set', $_, 'up' ]) for qw(lo eth0);
}

# ---- cuts and losses ----

# add(from => 'n1', to => 'n2', percent => 100, only_ip => 0): one direction; returns its number.
sub add
{
	my ($self, %fault) = @_;
	my $id = $self->{next}++;
	$self->{faults}{$id} = { percent => 100, only_ip => 0, %fault };
	return $id;
}

sub remove { my ($self, @ids) = @_; delete @{ $self->{faults} }{@ids} }

sub clear { $_[0]{faults} = {} }

sub rule
{
	my ($f) = @_;
	return sprintf 'iifname { "v-%s", "r-%s" } oifname { "v-%s", "r-%s" } %s%sdrop', $f->{from}, $f->{from}, $f->{to}, $f->{to},
		$f->{only_ip} ? 'meta protocol ip ' : '', $f->{percent} < 100 ? "numgen random mod 100 < $f->{percent} " : '';
}

# Makes the faults so, all at once.
sub apply
{
	my ($self) = @_;
	my $rules = join '', map { "\t\t" . rule($self->{faults}{$_}) . "\n" } sort { $a <=> $b } keys %{ $self->{faults} };
	RegentCluster::must([ 'nft', '-f', '-' ], stdin => <<"END");
table bridge chaos
delete table bridge chaos
table bridge chaos {
	chain forward {
		type filter hook forward priority 0; policy accept;
$rules	}
}
END
}

# ---- delay ----

# Every frame of the host takes so long, out and in.
sub delay
{
	my ($self, $name, $out_ms, $in_ms) = @_;
	return if $self->{delayed}{$name};
	ip('link', 'add', "q-$name", 'type', 'veth', 'peer', 'name', "r-$name");
	ip('link', 'set', "q-$name", 'up');
	ip('link', 'set', "v-$name", 'nomaster');
	ip('link', 'set', "r-$name", 'master', 'br0', 'up');
	my $pid = fork() // die "can't fork: $!";
	if ($pid == 0)
	{
		exec { $self->{relay} } $self->{relay}, "v-$name", "q-$name", $out_ms, $in_ms or POSIX::_exit(127);
	}
	$self->{delayed}{$name} = $pid;
}

sub undelay
{
	my ($self, $name) = @_;
	my $pid = delete $self->{delayed}{$name} or return;
	kill('KILL', $pid);
	waitpid($pid, 0);
	run_command([ 'ip', 'link', 'set', "v-$name", 'master', 'br0' ]);    # gone when the host is off
	ip('link', 'del', "q-$name");
}

sub undelay_all { my ($self) = @_; $self->undelay($_) for keys %{ $self->{delayed} } }

1;
